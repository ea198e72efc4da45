// What the runtime counts, under the names that controller-runtime and client-go gave these things: dashboards and alerts
// made for any operator fit this one. Label sets that are known beforehand start at 0, so that a rate is never missing.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type QueueView, registerQueueGauges } from './queue-gauges.ts';

/** What a reconcile came to, as `controller_runtime_reconcile_total` labels it. */
export const reconcileResults = ['success', 'error', 'requeue', 'requeue_after'] as const;
export type ReconcileResult = (typeof reconcileResults)[number];

/** Why an informer listed anew. */
export const relistReasons = ['start', 'expired', 'check'] as const;
export type RelistReason = (typeof relistReasons)[number];

/** Upper bounds of `controller_runtime_reconcile_time_seconds`, as controller-runtime has them. */
const reconcileSeconds = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1,
  1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
];
/** Upper bounds of the queue's durations, as client-go has them. */
const queueSeconds = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100, 1000];
const requestSeconds = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 45, 60];

/** The metrics of one process. */
export interface RuntimeMetrics {
  readonly requests: Counter<'code' | 'method' | 'host'>;
  readonly requestSeconds: Histogram<'verb' | 'host'>;
  readonly reconciles: Counter<'controller' | 'result'>;
  readonly reconcileErrors: Counter<'controller'>;
  readonly terminalErrors: Counter<'controller'>;
  readonly panics: Counter<'controller'>;
  readonly timeouts: Counter<'controller'>;
  readonly reconcileSeconds: Histogram<'controller'>;
  readonly maxConcurrent: Gauge<'controller'>;
  readonly activeWorkers: Gauge<'controller'>;
  readonly queueAdds: Counter<'name' | 'controller'>;
  readonly queueRetries: Counter<'name' | 'controller'>;
  readonly queueSeconds: Histogram<'name' | 'controller'>;
  readonly workSeconds: Histogram<'name' | 'controller'>;
  readonly leading: Gauge<'name'>;
  readonly leaderSlowpath: Counter<'name'>;
  readonly relists: Counter<'kind' | 'reason'>;
  readonly cacheMisses: Counter<'kind'>;
  readonly lastEvent: Gauge<'kind'>;
  readonly reconnects: Counter<'kind'>;
  readonly eventsDropped: Counter;
  /** Starts the label sets of a controller and shows its queue. */
  addController(name: string, workers: number, queue: QueueView): void;
  /** Starts the label sets of an informer. */
  addInformer(kind: string): void;
}

/** Registers the metrics of the runtime in `registers`; a registry takes them once. */
export function registerRuntimeMetrics(registry: Registry): RuntimeMetrics {
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]): Counter<L> =>
    new Counter({ name, help, labelNames, registers: [registry] });
  const queues = new Map<string, QueueView>();
  registerQueueGauges(registry, queues);
  const controllers = controllerMetrics(registry, counter);
  const metrics = { ...clientMetrics(registry, counter), ...controllers };
  return {
    ...metrics,
    addController(name, workers, queue) {
      queues.set(name, queue);
      startController(metrics, name, workers);
    },
    addInformer(kind) {
      for (const reason of relistReasons) metrics.relists.inc({ kind, reason }, 0);
      metrics.cacheMisses.inc({ kind }, 0);
      metrics.reconnects.inc({ kind }, 0);
      metrics.lastEvent.set({ kind }, 0);
    },
  };
}

/** Makes a counter. */
type MakeCounter = <L extends string>(name: string, help: string, ...labelNames: L[]) => Counter<L>;

/** The metrics of the client and of what stands on it. */
function clientMetrics(registry: Registry, counter: MakeCounter) {
  return {
    requests: counter(
      'rest_client_requests_total',
      'Requests to the API server.',
      'code',
      'method',
      'host',
    ),
    requestSeconds: new Histogram({
      name: 'rest_client_request_duration_seconds',
      help: 'Time until the API server answered.',
      labelNames: ['verb', 'host'],
      buckets: requestSeconds,
      registers: [registry],
    }),
    leading: new Gauge({
      name: 'leader_election_master_status',
      help: '1 while this process leads.',
      labelNames: ['name'],
      registers: [registry],
    }),
    leaderSlowpath: counter(
      'leader_election_slowpath_total',
      'Renewals that had to read the lease first.',
      'name',
    ),
    relists: counter(
      'etl_operator_informer_relists_total',
      'Full lists of a kind, by reason.',
      'kind',
      'reason',
    ),
    cacheMisses: counter(
      'etl_operator_informer_cache_miss_total',
      'Changes that a list showed and no watch had told.',
      'kind',
    ),
    lastEvent: new Gauge({
      name: 'etl_operator_informer_last_event_timestamp_seconds',
      help: 'When the watch of a kind last said anything, bookmarks included.',
      labelNames: ['kind'],
      registers: [registry],
    }),
    reconnects: counter(
      'etl_operator_informer_reconnects_total',
      'Watches that ended and were opened again.',
      'kind',
    ),
    eventsDropped: counter(
      'etl_operator_events_dropped_total',
      'Events that were not written: too many, or refused.',
    ),
  };
}

function controllerMetrics(registry: Registry, counter: MakeCounter) {
  const gauge = (name: string, help: string): Gauge<'controller'> =>
    new Gauge({ name, help, labelNames: ['controller'], registers: [registry] });
  const durations = (name: string, help: string): Histogram<'name' | 'controller'> =>
    new Histogram({
      name,
      help,
      labelNames: ['name', 'controller'],
      buckets: queueSeconds,
      registers: [registry],
    });
  const prefix = 'controller_runtime_reconcile';
  return {
    reconciles: counter(
      `${prefix}_total`,
      'Reconciles, by what they came to.',
      'controller',
      'result',
    ),
    reconcileErrors: counter(`${prefix}_errors_total`, 'Reconciles that failed.', 'controller'),
    terminalErrors: counter(
      'controller_runtime_terminal_reconcile_errors_total',
      'Reconciles that failed for what trying again does not change.',
      'controller',
    ),
    panics: counter(`${prefix}_panics_total`, 'Reconciles that failed for a defect.', 'controller'),
    timeouts: counter(
      `${prefix}_timeouts_total`,
      'Reconciles that passed their deadline.',
      'controller',
    ),
    reconcileSeconds: new Histogram({
      name: `${prefix}_time_seconds`,
      help: 'Time of one reconcile.',
      labelNames: ['controller'],
      buckets: reconcileSeconds,
      registers: [registry],
    }),
    maxConcurrent: gauge(
      'controller_runtime_max_concurrent_reconciles',
      'Workers of the controller.',
    ),
    activeWorkers: gauge('controller_runtime_active_workers', 'Workers that work.'),
    queueAdds: counter('workqueue_adds_total', 'Keys that were added.', 'name', 'controller'),
    queueRetries: counter(
      'workqueue_retries_total',
      'Keys that were added again after a failure.',
      'name',
      'controller',
    ),
    queueSeconds: durations('workqueue_queue_duration_seconds', 'Time that a key waited.'),
    workSeconds: durations('workqueue_work_duration_seconds', 'Time that a key was worked on.'),
  };
}

type ControllerMetrics = ReturnType<typeof controllerMetrics>;

function startController(metrics: ControllerMetrics, name: string, workers: number): void {
  const controller = { controller: name };
  const queue = { name, controller: name };
  for (const result of reconcileResults) metrics.reconciles.inc({ ...controller, result }, 0);
  for (const total of [
    metrics.reconcileErrors,
    metrics.terminalErrors,
    metrics.panics,
    metrics.timeouts,
  ]) {
    total.inc(controller, 0);
  }
  for (const total of [metrics.queueAdds, metrics.queueRetries]) total.inc(queue, 0);
  for (const histogram of [metrics.queueSeconds, metrics.workSeconds]) histogram.zero(queue);
  metrics.reconcileSeconds.zero(controller);
  metrics.maxConcurrent.set(controller, workers);
  metrics.activeWorkers.set(controller, 0);
}
