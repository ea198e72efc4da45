// docs/reference/metrics.md, from the registries that the processes register in.

import { registerMetrics } from '@etl-router/sidecar';
import { type Metric, Registry } from 'prom-client';
import { registerClusterMetrics } from '../../operator/src/cluster/metrics.ts';
import { registerRuntimeMetrics } from '../../operator/src/runtime/metrics.ts';
import { registerLogMetrics, registerRouterMetrics } from '../../router/src/router-metrics.ts';
import { codes, table } from './markdown.ts';

/** Registering reads nothing: values are asked for when metrics are. */
function neverRead(): never {
  throw new Error('a reference page has no values');
}

export function renderMetrics(): string {
  const engine = new Registry();
  registerMetrics(engine, {
    snapshots: neverRead,
    bufferedBytes: 0,
    bufferMaxBytes: 0,
    get deadLetters(): never {
      return neverRead();
    },
  });
  const router = new Registry();
  registerLogMetrics(router);
  registerRouterMetrics(router, neverRead);
  const operator = new Registry();
  registerRuntimeMetrics(operator);
  registerClusterMetrics(operator);
  return `# Metrics

Served as Prometheus text at \`metrics.path\` of \`node.metrics_addr\` ([configuration](configuration.md)). Labels are names
from manifests: never a key, a position or a partition. Counters of a run that starts anew start anew.

## Engine

${render(engine)}
## Router

${render(router)}
Beside these stand the metrics that prom-client collects of the process, \`process_*\` and \`nodejs_*\`. Its
\`nodejs_eventloop_lag_*\` include the 50 ms in which it looks once; the delay above does not.

## Operator

Served at \`/metrics\` of the operator's port for probes. What any operator has is named as controller-runtime and client-go
name it, so that dashboards and alerts made for those fit.

${render(operator, '')}
Beside these stand the metrics of the process and of Node that prom-client collects: \`process_*\` and \`nodejs_*\`.
`;
}

/** A metric as prom-client keeps it; its typings leave out what the text format shows. */
interface Registered {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

function render(registry: Registry, prefix = 'etl_'): string {
  const found = registry
    .getMetricsAsArray()
    .map((metric: Metric | object) => metric as unknown as Registered)
    .filter(({ name }) => name.startsWith(prefix))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return table(
    ['name', 'type', 'labels', 'meaning'],
    found.map(({ name, type, labelNames, help }) => [`\`${name}\``, type, codes(labelNames), help]),
  );
}
