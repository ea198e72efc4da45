// The five kinds: the only list of them.

import { etlRouterCluster } from './cluster.ts';
import { etlSink } from './connectors/sinks.ts';
import { etlSource } from './connectors/sources.ts';
import { etlTransform } from './connectors/transforms.ts';
import type { CustomResource } from './custom-resource.ts';
import { etlPipeline } from './pipeline.ts';

/** Every kind, in the order in which they depend on each other. */
export const customResources: readonly CustomResource[] = [
  etlRouterCluster,
  etlSource,
  etlTransform,
  etlSink,
  etlPipeline,
];
