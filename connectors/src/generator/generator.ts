// A source that makes records by itself: dense per partition, each with a checksum, the same at every replay. It feeds
// examples, load tests, and the crash harness, which knows from it what must have arrived.

import { hash } from 'node:crypto';
import {
  BatchBuilder,
  countOfPosition,
  EtlError,
  type OpenPartitionRequest,
  type PartitionReader,
  parseTimestamp,
  positionOfCount,
  type ReadRequest,
  type ReadResult,
  type Source,
  type SourceCapabilities,
  type SourcePartition,
  type StageContext,
  timestampOfMs,
  timestampToMs,
} from '@etl-router/core';
import type { Fields } from '@etl-router/pipeline';
import { type AnyConnector, defineConnector, type SettingHelp } from '../connector-type.ts';

/** The end of year 9999, where event times stop. */
const lastMs = 253_402_300_799_999;

/** What a record has beside its payload at most: tags, position, type, content type, event time and key. */
const frameBytesMax = 128;

interface GeneratorSettings {
  readonly partitions: number;
  /** Records of each partition; undefined: without end. */
  readonly count: number | undefined;
  /** Records a second of each partition; undefined: as fast as they are asked for. */
  readonly rate: number | undefined;
  readonly payloadBytes: number;
  readonly keys: number;
  readonly seed: number;
  readonly startMs: number;
  readonly intervalMs: number;
}

const settings: readonly SettingHelp[] = [
  {
    name: 'partitions',
    type: 'number',
    fallback: '1',
    help: 'Partitions, named `0`, `1` and so on; at most 1,000.',
  },
  {
    name: 'count',
    type: 'number',
    fallback: '',
    help: 'Records of each partition. Without it there is no end.',
  },
  {
    name: 'rate',
    type: 'number',
    fallback: '',
    help: 'Records a second of each partition. Without it as fast as they are taken.',
  },
  {
    name: 'payloadBytes',
    type: 'size',
    fallback: '0',
    help: 'Payloads are filled up to this size; at most 1Mi.',
  },
  {
    name: 'keys',
    type: 'number',
    fallback: '0',
    help: 'Different keys, `k0`, `k1` and so on in turn; 0: records have no key.',
  },
  {
    name: 'seed',
    type: 'number',
    fallback: '1',
    help: 'Goes into the checksums: another seed, other contents.',
  },
  {
    name: 'startTime',
    type: 'RFC 3339 time',
    fallback: '2026-01-01T00:00:00Z',
    help: 'Event time of the first record of each partition.',
  },
  {
    name: 'interval',
    type: 'duration',
    fallback: '1s',
    help: 'Event time between two records of a partition.',
  },
];

/** `generator`. */
export const generatorSource: AnyConnector = defineConnector<GeneratorSettings>({
  kind: 'source',
  type: 'generator',
  settings,
  read: readSettings,
  capabilities,
  create: (read) => new GeneratorSource(read),
});

function readSettings(fields: Fields): GeneratorSettings {
  const startText = fields.text('startTime') ?? '2026-01-01T00:00:00Z';
  const start = parseTimestamp(startText);
  if (start === undefined) {
    fields.report('startTime', {
      code: 'BadValue',
      message: 'needs an RFC 3339 time such as 2026-01-31T12:00:00Z',
    });
  }
  return {
    partitions: fields.integer('partitions', 1, { min: 1, max: 1000 }),
    count: fields.integer('count', undefined, { min: 0, max: 2 ** 52 }),
    rate: fields.number('rate', undefined, { min: 0.001, max: 10_000_000 }),
    payloadBytes: fields.bytes('payloadBytes', 0, { min: 0, max: 1_048_576 }),
    keys: fields.integer('keys', 0, { min: 0, max: 1_000_000 }),
    seed: fields.integer('seed', 1, { min: 0, max: 2 ** 32 }),
    startMs: start === undefined ? 0 : timestampToMs(start),
    intervalMs: fields.durationMs('interval', 1000, { min: 0, max: 86_400_000 }),
  };
}

function capabilities({ count }: GeneratorSettings): SourceCapabilities {
  return { replayable: true, ordered: 'partition', bounded: count !== undefined };
}

class GeneratorSource implements Source {
  readonly capabilities: SourceCapabilities;
  readonly #settings: GeneratorSettings;
  #context: StageContext | undefined;

  constructor(read: GeneratorSettings) {
    this.#settings = read;
    this.capabilities = capabilities(read);
  }

  async open(context: StageContext): Promise<void> {
    this.#context = context;
  }

  async partitions(): Promise<readonly SourcePartition[]> {
    return Array.from({ length: this.#settings.partitions }, (_, index) => ({
      name: String(index),
    }));
  }

  async openPartition(request: OpenPartitionRequest): Promise<PartitionReader> {
    const { partition } = request.lane;
    if (!/^(?:0|[1-9]\d{0,3})$/.test(partition) || Number(partition) >= this.#settings.partitions) {
      throw new EtlError(
        'ETL_INVALID_ARGUMENT',
        `generator: there is no partition ${partition}; there are ${this.#settings.partitions}`,
      );
    }
    const next = request.after === undefined ? 0 : countOfPosition(request.after);
    if (next === undefined) {
      throw new EtlError(
        'ETL_INVALID_ARGUMENT',
        `generator: partition ${request.lane.partition}: the position is not one of this source`,
      );
    }
    return new GeneratorReader(this.#settings, request, {
      context: this.#context as StageContext,
      next: request.after === undefined ? 0 : next + 1,
    });
  }

  async close(): Promise<void> {
    this.#context = undefined;
  }
}

class GeneratorReader implements PartitionReader {
  readonly #settings: GeneratorSettings;
  readonly #request: OpenPartitionRequest;
  readonly #context: StageContext;
  readonly #builder = new BatchBuilder();
  readonly #startedMs: number;
  readonly #first: number;
  #next: number;

  constructor(
    read: GeneratorSettings,
    request: OpenPartitionRequest,
    start: { readonly context: StageContext; readonly next: number },
  ) {
    this.#settings = read;
    this.#request = request;
    this.#context = start.context;
    this.#startedMs = start.context.clock.monotonicMs();
    this.#first = start.next;
    this.#next = start.next;
  }

  async next(request: ReadRequest): Promise<ReadResult> {
    request.signal.throwIfAborted();
    const { count = Number.MAX_SAFE_INTEGER } = this.#settings;
    if (this.#next >= count) return { kind: 'end' };
    const end = Math.min(count, this.#allowed(), this.#next + request.maxRecords);
    if (end <= this.#next) return { kind: 'idle' };
    const builder = this.#builder;
    for (; this.#next < end; this.#next++) {
      const payload = this.#payload(this.#next);
      const size = payload.length + frameBytesMax;
      if (builder.count > 0 && builder.byteLength + size > request.maxBytes) break;
      this.#append(this.#next, payload);
    }
    const { lane, epoch } = this.#request;
    return {
      kind: 'batch',
      batch: builder.build({ lane, epoch, firstSequence: 0, watermark: undefined }),
    };
  }

  async acknowledge(): Promise<void> {
    // Everything can be made again: there is nothing to give up.
  }

  lag(): { readonly records?: number } {
    const { count } = this.#settings;
    return count === undefined ? {} : { records: Math.max(0, count - this.#next) };
  }

  async close(): Promise<void> {
    // Holds nothing.
  }

  /** Sequence before which records may be made now. */
  #allowed(): number {
    const { rate } = this.#settings;
    if (rate === undefined) return Number.MAX_SAFE_INTEGER;
    const elapsedMs = this.#context.clock.monotonicMs() - this.#startedMs;
    return this.#first + Math.floor((elapsedMs * rate) / 1000) + 1;
  }

  #payload(seq: number): string {
    const { seed, payloadBytes } = this.#settings;
    const { partition } = this.#request.lane;
    const sum = hash('sha256', `${seed}/${partition}/${seq}`).slice(0, 16);
    const large = 9_007_199_254_740_993n + BigInt(seq);
    const start = `{"lane":"${partition}","seq":${seq},"sum":"${sum}","large":${large}`;
    const missing = payloadBytes - start.length - 10;
    return missing > 0 ? `${start},"pad":"${'x'.repeat(missing)}"}` : `${start}}`;
  }

  #append(seq: number, payload: string): void {
    const { keys, startMs, intervalMs } = this.#settings;
    this.#builder.append({
      position: positionOfCount(seq),
      type: 'io.etl-router.generated.v1',
      contentType: 'application/json',
      eventTime: timestampOfMs(Math.min(lastMs, startMs + seq * intervalMs)),
      ...(keys > 0 ? { key: Buffer.from(`k${seq % keys}`) } : {}),
      payload: Buffer.from(payload),
    });
  }
}
