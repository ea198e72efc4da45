// The kinds of etl.router/v1: what they are made of, and what is made of them.

export { etlRouterCluster } from './cluster.ts';
export {
  type Column,
  type CustomResource,
  group,
  toDefinition,
  version,
} from './custom-resource.ts';
export type { JsonValue, Rule, Schema } from './schema.ts';
