// A source of records in memory, in as many partitions as wanted. The data outlives the Source objects that read it,
// as an outside system does.

import {
  BatchBuilder,
  type Clock,
  countOfPosition,
  EtlError,
  type OpenPartitionRequest,
  type PartitionReader,
  positionOfCount,
  type ReadResult,
  type RecordFields,
  type Source,
  type SourceCapabilities,
  sleep,
} from '@etl-router/core';

/** What a partition holds: records without position, which is their place from 1. */
export type MemoryRecord = Omit<RecordFields, 'position'>;

export class MemoryTopic {
  readonly #partitions = new Map<string, MemoryRecord[]>();
  readonly acknowledged = new Map<string, number>();
  bounded = true;
  /** Largest batch it gives, whatever is asked. */
  maxBatch: number = Number.POSITIVE_INFINITY;
  /** Every read takes this long. */
  slowMs = 0;
  /** Thrown by reads while set, `failures` times. */
  failure: Error | undefined;
  failures = 0;
  /** Thrown by whoever asks for the partitions, while set. */
  listFailure: Error | undefined;

  append(partition: string, records: readonly MemoryRecord[]): void {
    const known = this.#partitions.get(partition);
    if (known === undefined) this.#partitions.set(partition, [...records]);
    else known.push(...records);
  }

  remove(partition: string): void {
    this.#partitions.delete(partition);
  }

  partition(name: string): readonly MemoryRecord[] {
    return this.#partitions.get(name) ?? [];
  }

  get partitions(): readonly string[] {
    return [...this.#partitions.keys()];
  }
}

/** Reads a topic. */
export class MemorySource implements Source {
  readonly capabilities: SourceCapabilities;
  readonly #topic: MemoryTopic;
  readonly #clock: Clock;

  constructor(topic: MemoryTopic, clock: Clock) {
    this.#topic = topic;
    this.#clock = clock;
    this.capabilities = { replayable: true, ordered: 'partition', bounded: topic.bounded };
  }

  async open(): Promise<void> {}

  async partitions(): Promise<readonly { readonly name: string }[]> {
    if (this.#topic.listFailure !== undefined) throw this.#topic.listFailure;
    return this.#topic.partitions.map((name) => ({ name }));
  }

  async openPartition({ lane, epoch, after }: OpenPartitionRequest): Promise<PartitionReader> {
    const topic = this.#topic;
    const clock = this.#clock;
    const { partition } = lane;
    let read = after === undefined ? 0 : countOfPosition(after);
    if (read === undefined) throw new EtlError('ETL_INVALID_ARGUMENT', 'not a position of this');
    const builder = new BatchBuilder();
    return {
      async next({ maxRecords, maxBytes, signal }): Promise<ReadResult> {
        if (topic.slowMs > 0) await sleep(clock, topic.slowMs, signal);
        if (topic.failure !== undefined && topic.failures-- > 0) throw topic.failure;
        const records = topic.partition(partition);
        const limit = Math.min(maxRecords, topic.maxBatch);
        while (builder.count < limit && (read as number) < records.length) {
          const record = records[read as number] as MemoryRecord;
          builder.append({ ...record, position: positionOfCount((read as number) + 1) });
          read = (read as number) + 1;
          if (builder.byteLength >= maxBytes) break;
        }
        if (builder.count === 0) return { kind: topic.bounded ? 'end' : 'idle' };
        const header = { lane, epoch, firstSequence: 0, watermark: undefined };
        return { kind: 'batch', batch: builder.build(header) };
      },
      async acknowledge(position) {
        topic.acknowledged.set(partition, countOfPosition(position) as number);
      },
      lag: () => ({ records: topic.partition(partition).length - (read as number) }),
      close: () => Promise.resolve(),
    };
  }

  async close(): Promise<void> {}
}
