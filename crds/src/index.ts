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
export { withDefaults } from './defaults.ts';
export type { EtlPipeline, EtlPipelineSpec, EtlPipelineStatus } from './gen/etl-pipeline.ts';
export type {
  EtlRouterCluster,
  EtlRouterClusterSpec,
  EtlRouterClusterSpecTemplate,
  EtlRouterClusterStatus,
  EtlRouterClusterStatusMember,
  EtlRouterClusterStatusOperation,
} from './gen/etl-router-cluster.ts';
export type { EtlSink, EtlSinkSpec } from './gen/etl-sink.ts';
export type { EtlSource, EtlSourceSpec } from './gen/etl-source.ts';
export type { EtlTransform, EtlTransformSpec } from './gen/etl-transform.ts';
export type { ClusterRef, Condition } from './gen/shared.ts';
export { customResources } from './kinds.ts';
export type { ObjectMeta, OwnerReference } from './object-meta.ts';
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
