// The kinds of etl.router/v1: what they are made of, and what is made of them.

export { etlRouterCluster } from './cluster.ts';
export { etlSink } from './connectors/sinks.ts';
export { etlSource } from './connectors/sources.ts';
export { etlTransform } from './connectors/transforms.ts';
export {
  type Column,
  type CustomResource,
  group,
  toDefinition,
  version,
} from './custom-resource.ts';
export { customResources } from './kinds.ts';
export { etlPipeline } from './pipeline.ts';
export type {
  JsonValue,
  ListSchema,
  MapSchema,
  ObjectSchema,
  QuantitySchema,
  Rule,
  Schema,
} from './schema.ts';
