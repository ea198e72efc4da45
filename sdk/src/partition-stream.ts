// One PullRecords stream: turns a generator's records into batches within the credit that was granted.
// States: opening → reading ⇄ waiting for credit, reading ⇄ idle (nothing to send) → end, or cut off by an error.
// The generator is never asked for a record while there is no credit for one, and never by two at a time.

import {
  BatchBuilder,
  type BatchHeader,
  type Clock,
  comparePositions,
  EtlError,
  type Lane,
  RecordBatch,
  type RecordFields,
  sleep,
  stringifyJson,
  toEtlError,
} from '@etl-router/core';
import { toCount, toLane, toPosition } from '@etl-router/proto';
import type { Raw } from '@etl-router/proto/grpc';
import type { OpenPartition, PullRecordsRequest } from '@etl-router/proto/source';
import type { Credit as CreditMessage } from '@etl-router/proto/stage';
import { type Stage, toStage } from './context.ts';
import { Position, toPositionBytes } from './position.ts';
import { toFields } from './record.ts';
import type { SourceOptions, SourceRecord } from './source.ts';

/** What a stream works with. */
export interface PullParts {
  readonly clock: Clock;
  readonly bounded: boolean;
  readonly pollIntervalMs: number;
  readonly read: SourceOptions['read'];
  /** Aborts when the caller is gone. */
  readonly caller: AbortSignal;
  /** Ends whoever reads the lane; the signal aborts when this stream is to end. */
  readonly takeOver: (stage: Stage, lane: Lane, epoch: number) => AbortSignal;
}

/** The fields of PullRecordsResponse that a stream sends. */
interface Response {
  readonly event:
    | { readonly case: 'batch'; readonly value: Uint8Array }
    | { readonly case: 'idle' | 'end'; readonly value: Record<never, never> };
}

const batchMaxRecords = 1000;
const batchMaxBytes = 1024 * 1024;
/** One record and what a batch and a response put around it fit into a message of 16 MiB. */
const recordMaxBytes = 16 * 1024 * 1024 - 64 * 1024;
/** How long a batch that is begun waits for another record. */
const lingerMs = 2;
/** Turns of the promise queue in which a generator that has a record at hand gives it. */
const turnsWithoutTimer = 8;

/** Answers one stream. */
export async function* pullRecords(
  requests: AsyncIterable<Raw<PullRecordsRequest>>,
  parts: PullParts,
): AsyncGenerator<Response, void, void> {
  const incoming = requests[Symbol.asyncIterator]();
  const first = await incoming.next();
  if (first.done === true || first.value.request.case !== 'open')
    throw new EtlError('ETL_CONFLICT', 'the stream needs `open` as its first message');
  const open = first.value.request.value as OpenPartition;
  const stage = toStage(open.stage);
  const lane = toLane(open.lane, 'open.lane');
  const after = toPosition(open.after, 'open.after');
  const ended = parts.takeOver(stage, lane, toCount(open.epoch, 'open.epoch'));
  const closed = new AbortController();
  const signal = AbortSignal.any([parts.caller, ended, closed.signal]);
  const credit = new Credit();
  if (open.credit !== undefined) credit.grant(open.credit);
  const feed = new Feed({ ...parts, stage, lane, after, signal });
  const wake = (): void => {
    credit.bell.ring();
    feed.bell.ring();
  };
  signal.addEventListener('abort', wake, { once: true });
  void listen(incoming, credit, closed);
  try {
    while (await credit.wait(signal)) {
      const step = await feed.next(credit);
      if (step === undefined) break;
      yield step;
      if (step.event.case === 'end') return;
    }
    const { reason } = signal as { readonly reason: unknown };
    if (reason !== callerDone) throw toEtlError(reason);
  } finally {
    closed.abort(callerDone);
    feed.close();
  }
}

/** Why a stream ends whose caller closed its half: no error. */
const callerDone = new EtlError('ETL_CANCELLED', 'the reader ended the stream');

/** Takes grants until the caller ends its half, breaks the protocol or is gone; never rejects. */
async function listen(
  incoming: AsyncIterator<Raw<PullRecordsRequest>>,
  credit: Credit,
  closed: AbortController,
): Promise<void> {
  try {
    for (;;) {
      const next = await incoming.next();
      if (next.done === true) break;
      const { request } = next.value;
      if (request.case !== 'credit')
        throw new EtlError('ETL_CONFLICT', 'after `open`, the stream takes credit only');
      credit.grant(request.value as CreditMessage);
    }
    closed.abort(callerDone);
  } catch (error) {
    closed.abort(toEtlError(error));
  }
}

/** Wakes the one who waits; rung before, it does not let them wait at all. */
class Bell {
  #isRung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  async wait(): Promise<void> {
    if (!this.#isRung) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    this.#isRung = false;
  }
}

/** What may be sent: absolute counters, which never go down. */
class Credit {
  readonly bell: Bell = new Bell();
  #records = 0;
  #bytes = 0;
  #sentRecords = 0;
  #sentBytes = 0;

  get records(): number {
    return this.#records - this.#sentRecords;
  }

  get bytes(): number {
    return this.#bytes - this.#sentBytes;
  }

  grant(message: CreditMessage): void {
    this.#records = Math.max(this.#records, toCount(message.records, 'credit.records'));
    this.#bytes = Math.max(this.#bytes, toCount(message.bytes, 'credit.bytes'));
    this.bell.ring();
  }

  spend(records: number, bytes: number): void {
    this.#sentRecords += records;
    this.#sentBytes += bytes;
  }

  /** True once something may be sent; false when the signal aborts first. */
  async wait(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      if (this.records > 0 && this.bytes > 0) return true;
      await this.bell.wait();
    }
    return false;
  }
}

interface FeedParts extends Omit<PullParts, 'caller' | 'takeOver'> {
  readonly stage: Stage;
  readonly lane: Lane;
  readonly after: Uint8Array | undefined;
  readonly signal: AbortSignal;
}

/** What a generator was asked for and what came of it. */
interface Asked {
  result?: IteratorResult<SourceRecord>;
  failure?: unknown;
  isSettled: boolean;
}

/** The records of a generator, in batches. */
class Feed {
  readonly bell: Bell = new Bell();
  readonly #parts: FeedParts;
  readonly #builder = new BatchBuilder();
  /** Position of the last record the generator gave. */
  #after: Uint8Array | undefined;
  #generator: AsyncIterator<SourceRecord> | undefined;
  #asked: Asked | undefined;
  /** A record that did not fit into the batch before. */
  #left: RecordFields | undefined;
  #saidIdle = false;
  #isOver = false;

  constructor(parts: FeedParts) {
    this.#parts = parts;
    this.#after = parts.after;
  }

  /** The next message within `credit`, which allows one record at least; undefined when the signal aborted. */
  async next(credit: Credit): Promise<Response | undefined> {
    const maxRecords = Math.min(credit.records, batchMaxRecords);
    const maxBytes = Math.min(credit.bytes - overheadBytes, batchMaxBytes);
    if (this.#left !== undefined) this.#builder.append(this.#left);
    this.#left = undefined;
    for (;;) {
      if (this.#builder.count >= maxRecords || this.#builder.byteLength >= maxBytes)
        return this.#flush(credit, maxBytes);
      const step = this.#isOver ? 'over' : await this.#step();
      if (step === 'stopped') return undefined;
      if (step !== 'waiting' && step !== 'over') {
        this.#append(step);
        continue;
      }
      if (this.#builder.count > 0) return this.#flush(credit, maxBytes);
      if (this.#isOver) return { event: { case: 'end', value: {} } };
      if (!this.#saidIdle) {
        this.#saidIdle = true;
        return { event: { case: 'idle', value: {} } };
      }
      await this.#settle(step);
    }
  }

  /** Ends the generator; what it still waits for must heed the signal. */
  close(): void {
    this.#generator?.return?.().catch(() => undefined);
  }

  /** The next record; `waiting` when there is none within a moment, `over` when the generator returned. */
  async #step(): Promise<SourceRecord | 'waiting' | 'over' | 'stopped'> {
    const { signal } = this.#parts;
    this.#asked ??= this.#ask();
    const asked = this.#asked;
    for (let turn = 0; turn < turnsWithoutTimer && !asked.isSettled; turn++)
      await Promise.resolve();
    if (!asked.isSettled) await this.#linger(asked);
    if (signal.aborted) return 'stopped';
    if (!asked.isSettled) return 'waiting';
    // What came before a failure goes first; then the failure is met again.
    if (asked.result === undefined && this.#builder.count > 0) return 'waiting';
    this.#asked = undefined;
    if (asked.result === undefined) throw toEtlError(asked.failure, 'ETL_CONNECTOR_FAILED');
    if (asked.result.done !== true) return asked.result.value;
    this.#generator = undefined;
    this.#isOver = this.#parts.bounded;
    return 'over';
  }

  /** Asks the generator for a record; begins it, after the last record, where there is none. */
  #ask(): Asked {
    const { signal, stage, lane, read } = this.#parts;
    const asked: Asked = { isSettled: false };
    const settle = (outcome: Partial<Asked>): void => {
      Object.assign(asked, outcome, { isSettled: true });
      this.bell.ring();
    };
    try {
      const after = this.#after === undefined ? undefined : new Position(this.#after);
      this.#generator ??= read({ ...stage, partition: lane.partition, after, signal })[
        Symbol.asyncIterator
      ]();
      this.#generator.next().then(
        (result) => settle({ result }),
        (failure: unknown) => settle({ failure }),
      );
    } catch (failure) {
      settle({ failure });
    }
    return asked;
  }

  /** Gives the generator a moment before the batch goes as it is. */
  async #linger(asked: Asked): Promise<void> {
    const { clock, signal } = this.#parts;
    let isLate = false;
    const cancel = clock.after(lingerMs, () => {
      isLate = true;
      this.bell.ring();
    });
    while (!asked.isSettled && !isLate && !signal.aborted) await this.bell.wait();
    cancel();
  }

  /** Waits for the record that is to come, or for the time to ask again. */
  async #settle(step: 'waiting' | 'over'): Promise<void> {
    const { clock, signal, pollIntervalMs } = this.#parts;
    if (step === 'over') await sleep(clock, pollIntervalMs, signal).catch(() => undefined);
    else while (this.#asked?.isSettled === false && !signal.aborted) await this.bell.wait();
  }

  #append(record: SourceRecord): void {
    const where = `partition ${this.#parts.lane.partition}: read`;
    const fields = toRecordFields(record, where);
    if (this.#after !== undefined && comparePositions(fields.position, this.#after) <= 0)
      throw unusable(`${where} gave a record whose position is not after the one before it`);
    const before = this.#builder.byteLength;
    this.#builder.append(fields);
    const bytes = this.#builder.byteLength - before;
    if (bytes > recordMaxBytes) {
      throw new EtlError(
        'ETL_LIMIT_EXCEEDED',
        `${where} gave a record of ${bytes} bytes; a record has at most ${recordMaxBytes}`,
      );
    }
    this.#after = Uint8Array.from(fields.position);
    this.#left = fields;
  }

  /** Sends the batch; of several records that are too many bytes, the last one waits for the next batch. */
  #flush(credit: Credit, maxBytes: number): Response {
    let batch = this.#builder.build(emptyHeader);
    const isOver = batch.count > 1 && batch.byteLength > maxBytes;
    if (isOver) batch = batch.slice(0, batch.count - 1).withHeader(emptyHeader);
    else this.#left = undefined;
    const bytes = batch.toBytes();
    credit.spend(batch.count, bytes.length);
    this.#saidIdle = false;
    return { event: { case: 'batch', value: bytes } };
  }
}

const emptyHeader: BatchHeader = {
  lane: { pipeline: '', source: '', partition: '' },
  epoch: 0,
  firstSequence: 0,
  sequenceOffsets: undefined,
  watermark: undefined,
};
/** Bytes of a batch message beside its records. */
const overheadBytes = RecordBatch.empty(emptyHeader).toBytes().length;

/** The fields of a record that user code gave. Throws ETL_CONNECTOR_FAILED, not retryable, for what is none. */
function toRecordFields(record: SourceRecord, where: string): RecordFields {
  if (typeof record !== 'object' || record === null)
    throw unusable(`${where} gave ${String(record)}; it takes records with a position`);
  const position = toPositionBytes(record.position, where);
  try {
    return { ...toFields(record), ...payloadOf(record), position };
  } catch (cause) {
    throw unusable(`${where} gave a record that can not be written: ${(cause as Error).message}`);
  }
}

function payloadOf({ contentType, payload, json, text }: SourceRecord): Partial<RecordFields> {
  if (payload !== undefined) return {};
  if (json !== undefined)
    return { contentType: contentType ?? 'application/json', payload: stringifyJson(json) };
  if (text === undefined) return {};
  return { contentType: contentType ?? 'text/plain; charset=utf-8', payload: Buffer.from(text) };
}

function unusable(message: string): EtlError {
  return new EtlError('ETL_CONNECTOR_FAILED', message, { retryable: false });
}
