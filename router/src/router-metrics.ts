// What a router says of itself at its metrics port. Every value is read when it is asked for; nothing is counted here.

import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import type { ClusterStatus } from './server/cluster.ts';

const gauges: readonly (readonly [
  name: string,
  help: string,
  valueOf: (status: ClusterStatus) => number,
])[] = [
  ['etl_router_is_leader', '1 while this member leads.', ({ role }) => Number(role === 'leader')],
  ['etl_router_term', 'Present term.', ({ term }) => term],
  ['etl_router_commit_index', 'Last entry that is decided.', ({ commitIndex }) => commitIndex],
  [
    'etl_router_applied_index',
    'Last entry that took effect here.',
    ({ lastApplied }) => lastApplied,
  ],
];

/** A metric of Node's own: where it is, all of them are. */
const defaultMetric = 'process_cpu_user_seconds_total';

/** Registers the router's metrics, and those of the process unless they are there. The result takes its own away. */
export function registerRouterMetrics(registry: Registry, status: () => ClusterStatus): () => void {
  if (registry.getSingleMetric(defaultMetric) === undefined) {
    collectDefaultMetrics({ register: registry });
  }
  for (const [name, help, valueOf] of gauges) {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(valueOf(status()));
      },
    });
  }
  return () => {
    for (const [name] of gauges) registry.removeSingleMetric(name);
  };
}
