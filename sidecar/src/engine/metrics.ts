// The engine's counters as Prometheus metrics, read off the runs whenever they are asked for. Labels are names from
// manifests only: never a key, a position or a partition. A run that starts anew starts its counters anew.

import { Counter, Gauge, type Metric as PromMetric, type Registry } from 'prom-client';
import type { DeadLetterStore } from '../dead-letter/store.ts';
import type { EdgeSnapshot, RunSnapshot, StageSnapshot } from './counters.ts';
import { type LatencySnapshot, latencyBounds } from './latency.ts';

/** What the metrics are read from. */
export interface MetricsSource {
  snapshots(): readonly RunSnapshot[];
  readonly bufferedBytes: number;
  readonly bufferMaxBytes: number;
  readonly deadLetters: DeadLetterStore;
}

interface Labels {
  [name: string]: string;
}

type Sample = readonly [labels: Labels, value: number | undefined];

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: (source: MetricsSource) => Iterable<Sample>;
}

const runLabels = ['namespace', 'pipeline'] as const;
const stageLabels = [...runLabels, 'stage', 'stage_type'] as const;
const edgeLabels = [...runLabels, 'edge'] as const;

/** Adds the engine's metrics to a registry. */
export function registerMetrics(registry: Registry, source: MetricsSource): void {
  registry.registerMetric(latencyHistogram(source));
  for (const { name, help, labels, read } of metrics) {
    const options = { name, help, labelNames: labels, registers: [registry] };
    if (name.endsWith('_total')) {
      new Counter({
        ...options,
        collect() {
          this.reset();
          for (const [at, value] of read(source)) if (value !== undefined) this.inc(at, value);
        },
      });
    } else {
      new Gauge({
        ...options,
        collect() {
          this.reset();
          for (const [at, value] of read(source)) if (value !== undefined) this.set(at, value);
        },
      });
    }
  }
}

const latencyName = 'etl_pipeline_latency_seconds';

/** prom-client's own histogram only observes; this one has the shape it asks of a metric and is read like the others. */
function latencyHistogram(source: MetricsSource): PromMetric {
  const metric = {
    name: latencyName,
    help: 'Time from the reading of a record until it, and all before it in its lane, is stored, spilled, filtered or dead-lettered. Worry when the 99th percentile leaves what you promise.',
    type: 'histogram',
    labelNames: stageLabels,
    aggregator: 'sum',
    get: () => Promise.resolve({ ...metric, values: [...latencyValues(source)] }),
    reset() {},
  };
  return metric as unknown as PromMetric;
}

interface LatencyValue {
  readonly metricName: string;
  readonly labels: Labels;
  readonly value: number;
}

function* latencyValues(source: MetricsSource): Generator<LatencyValue> {
  for (const run of source.snapshots()) {
    for (const { name, kind, latency } of run.stages) {
      if (latency === undefined) continue;
      const labels = { ...labelsOf(run), stage: name, stage_type: kind };
      yield* histogramValues(labels, latency);
    }
  }
}

function* histogramValues(labels: Labels, latency: LatencySnapshot): Generator<LatencyValue> {
  let count = 0;
  for (const [at, inBucket] of latency.counts.entries()) {
    count += inBucket;
    const le = String(latencyBounds[at] ?? '+Inf');
    yield { metricName: `${latencyName}_bucket`, labels: { ...labels, le }, value: count };
  }
  yield { metricName: `${latencyName}_sum`, labels, value: latency.sumSeconds };
  yield { metricName: `${latencyName}_count`, labels, value: count };
}

function ofRuns(value: (run: RunSnapshot) => number | undefined): Metric['read'] {
  return function* read(source) {
    for (const run of source.snapshots()) yield [labelsOf(run), value(run)];
  };
}

function ofStages(
  value: (stage: StageSnapshot) => number | undefined,
  more: Labels = {},
): Metric['read'] {
  return function* read(source) {
    for (const run of source.snapshots()) {
      for (const stage of run.stages) {
        const labels = { ...labelsOf(run), stage: stage.name, stage_type: stage.kind, ...more };
        yield [labels, value(stage)];
      }
    }
  };
}

function ofEdges(value: (edge: EdgeSnapshot) => number): Metric['read'] {
  return function* read(source) {
    for (const run of source.snapshots()) {
      for (const edge of run.edges) {
        yield [{ ...labelsOf(run), edge: `${edge.from}>${edge.to}` }, value(edge)];
      }
    }
  };
}

function both(...reads: readonly Metric['read'][]): Metric['read'] {
  return function* read(source) {
    for (const one of reads) yield* one(source);
  };
}

function labelsOf({ pipelineId }: RunSnapshot): Labels {
  const [namespace = '', pipeline = ''] = pipelineId.split('/');
  return { namespace, pipeline };
}

const discardLabels = [...stageLabels, 'intentional', 'reason'] as const;

function discarded(
  reason: string,
  intentional: boolean,
  value: (stage: StageSnapshot) => number,
): Metric['read'] {
  return ofStages(value, { intentional: String(intentional), reason });
}

const metrics: readonly Metric[] = [
  {
    name: 'etl_stage_received_records_total',
    help: 'Records that came to a stage, by edge. Worry when it stands still while the source has lag.',
    labels: edgeLabels,
    read: ofEdges(({ records }) => records),
  },
  {
    name: 'etl_stage_received_bytes_total',
    help: 'Bytes on the wire that came to a stage, by edge.',
    labels: edgeLabels,
    read: ofEdges(({ bytes }) => bytes),
  },
  {
    name: 'etl_stage_sent_records_total',
    help: 'Records a source read, a transform gave or a sink stored.',
    labels: stageLabels,
    read: ofStages(({ recordsOut }) => recordsOut),
  },
  {
    name: 'etl_stage_sent_bytes_total',
    help: 'Bytes on the wire of what a stage sent.',
    labels: stageLabels,
    read: ofStages(({ bytesOut }) => bytesOut),
  },
  {
    name: 'etl_stage_discarded_records_total',
    help: 'Records that went no further. Worry about every one that is not intentional.',
    labels: discardLabels,
    read: both(
      discarded('filtered', true, ({ filtered }) => filtered),
      discarded('unrouted', true, ({ unrouted }) => unrouted),
      discarded('dropped', false, ({ dropped }) => dropped),
    ),
  },
  {
    name: 'etl_stage_errors_total',
    help: 'Records that failed at a stage, each attempt counted.',
    labels: stageLabels,
    read: ofStages(({ failed }) => failed),
  },
  {
    name: 'etl_retries_total',
    help: 'Calls of a stage that were repeated. Worry when it grows for minutes.',
    labels: stageLabels,
    read: ofStages(({ retried }) => retried),
  },
  {
    name: 'etl_stage_busy_seconds_total',
    help: 'Time spent in calls of a stage, over all lanes.',
    labels: stageLabels,
    read: ofStages(({ busyMs }) => busyMs / 1000),
  },
  {
    name: 'etl_stage_fault',
    help: '1 while a stage is waited for because it fails.',
    labels: stageLabels,
    read: ofStages(({ fault }) => Number(fault?.standing === true)),
  },
  {
    name: 'etl_dead_letter_records_total',
    help: 'Records that became dead letters. Worry when it grows.',
    labels: stageLabels,
    read: ofStages(({ deadLettered }) => deadLettered),
  },
  {
    name: 'etl_dead_letter_pending_records',
    help: 'Dead letters in the store. Look at them with etlctl dlq ls.',
    labels: runLabels,
    *read(source) {
      for (const run of source.snapshots()) {
        yield [labelsOf(run), source.deadLetters.counts(run.pipelineId).total];
      }
    },
  },
  {
    name: 'etl_dead_letter_waiting',
    help: 'Lanes that stand still because the dead-letter store is full. Redrive or discard.',
    labels: [],
    read: ({ deadLetters }) => [[{}, deadLetters.usage.waiting]],
  },
  {
    name: 'etl_duplicates_suppressed_total',
    help: 'Records that came again after a restart and were held already.',
    labels: stageLabels,
    read: ofStages(({ duplicatesSuppressed }) => duplicatesSuppressed),
  },
  {
    name: 'etl_edge_inflight_records',
    help: 'Records that wait in memory for the stage an edge leads to.',
    labels: edgeLabels,
    read: ofEdges(({ inFlightRecords }) => inFlightRecords),
  },
  {
    name: 'etl_edge_inflight_bytes',
    help: 'Bytes that wait in memory for the stage an edge leads to.',
    labels: edgeLabels,
    read: ofEdges(({ inFlightBytes }) => inFlightBytes),
  },
  {
    name: 'etl_edge_blocked_seconds_total',
    help: 'Time in which an edge held its lanes back, over all lanes.',
    labels: edgeLabels,
    read: ofEdges(({ blockedMs }) => blockedMs / 1000),
  },
  {
    name: 'etl_edge_condition_errors_total',
    help: 'Conditions that had no value for a record; the record did not take the edge.',
    labels: edgeLabels,
    read: ofEdges(({ conditionErrors }) => conditionErrors),
  },
  {
    name: 'etl_buffer_bytes',
    help: 'Bytes of records that this process holds, by medium.',
    labels: ['medium'],
    *read(source) {
      yield [{ medium: 'memory' }, source.bufferedBytes];
      let spilled = 0;
      for (const { edges } of source.snapshots()) {
        for (const { spillBytes } of edges) spilled += spillBytes;
      }
      yield [{ medium: 'volume' }, spilled];
    },
  },
  {
    name: 'etl_buffer_capacity_bytes',
    help: 'The bound of etl_buffer_bytes in memory.',
    labels: ['medium'],
    read: (source) => [[{ medium: 'memory' }, source.bufferMaxBytes]],
  },
  {
    name: 'etl_pipeline_watermark_timestamp_seconds',
    help: 'Event time up to which nothing is expected any more.',
    labels: runLabels,
    read: ofRuns(({ watermarkMs }) => (watermarkMs === undefined ? undefined : watermarkMs / 1000)),
  },
  {
    name: 'etl_pipeline_lag_records',
    help: 'Records left to read, where the sources know. Worry when it grows for long.',
    labels: runLabels,
    read: ofRuns(({ lagRecords }) => lagRecords),
  },
  {
    name: 'etl_checkpoint_last_success_timestamp_seconds',
    help: 'When positions were last committed. Worry when it is minutes old while records flow.',
    labels: runLabels,
    read: ofRuns(({ lastCommitAtMs }) =>
      lastCommitAtMs === undefined ? undefined : lastCommitAtMs / 1000,
    ),
  },
];
