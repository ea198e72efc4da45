// What a router says of itself at its metrics port. Gauges are read when they are asked for; only the writes of the log
// are counted here, and how late the threads were is noted.

import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client';
import type { LoopDelay } from './raft/thread/protocol.ts';
import type { ClusterStatus } from './server/cluster.ts';
import type { SyncEvent } from './storage/log.ts';

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
  [
    'etl_router_state_checked_index',
    'Last entry at which the state was found to be that of a majority.',
    ({ checkedIndex }) => checkedIndex,
  ],
  [
    'etl_router_state_diverged_members',
    'Members that held another state than a majority at the last comparison. Not 0: replace them.',
    ({ divergedMembers }) => divergedMembers,
  ],
  ['etl_router_log_bytes', 'Size of the files of the log.', ({ logBytes }) => logBytes],
  [
    'etl_router_log_quota_bytes',
    'What the files of the log may take. From 90 % of it on only reads and deletes go on.',
    ({ logQuotaBytes }) => logQuotaBytes,
  ],
];

/** A metric of Node's own: where it is, all of them are. */
const defaultMetric = 'process_cpu_user_seconds_total';

/**
 * How often prom-client looks whether the loop turns, each time by waking the thread; its own 10 ms make up half of what
 * a router without work does. Its lags of the loop include it; etl_router_event_loop_delay_seconds does not.
 */
const eventLoopMonitoringPrecision = 50;

/** Registers the router's metrics, and those of the process unless they are there. The result takes its own away. */
export function registerRouterMetrics(registry: Registry, status: () => ClusterStatus): () => void {
  if (registry.getSingleMetric(defaultMetric) === undefined) {
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision });
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

/** Metrics of the log's writes and of the threads. */
export interface LogMetrics {
  observe(event: SyncEvent): void;
  /** How late a thread was over the last span. */
  delayed(thread: 'main' | 'log', delay: LoopDelay): void;
  /** Takes them away. */
  close(): void;
}

/** Bounds in seconds: a write to memory takes 0.1 ms, one to a disk in trouble seconds. */
const syncBuckets = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

/** Registers the metrics that the log feeds. */
export function registerLogMetrics(registry: Registry): LogMetrics {
  const seconds = new Histogram({
    name: 'etl_router_log_sync_seconds',
    help: 'Time to write a batch to the log and make it durable. Worry when the 99th percentile is above 0.1.',
    buckets: syncBuckets,
    registers: [registry],
  });
  const bytes = new Counter({
    name: 'etl_router_log_written_bytes_total',
    help: 'Bytes written to the log.',
    registers: [registry],
  });
  const delays = new Gauge({
    name: 'etl_router_event_loop_delay_seconds',
    help: 'How late the turns of a thread came over the last 5 s: the 99th percentile, and as quantile 1 the latest. Worry when that of the log is above half a heartbeat.',
    labelNames: ['thread', 'quantile'],
    registers: [registry],
  });
  return {
    delayed(thread, { p99Ms, maxMs }) {
      delays.set({ thread, quantile: '0.99' }, p99Ms / 1000);
      delays.set({ thread, quantile: '1' }, maxMs / 1000);
    },
    observe({ durationMs, bytes: written }) {
      seconds.observe(durationMs / 1000);
      bytes.inc(written);
    },
    close() {
      registry.removeSingleMetric('etl_router_event_loop_delay_seconds');
      registry.removeSingleMetric('etl_router_log_sync_seconds');
      registry.removeSingleMetric('etl_router_log_written_bytes_total');
    },
  };
}
