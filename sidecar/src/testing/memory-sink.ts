// A table in memory and sinks that write to it, in the three strengths a sink can have, with a dial for every way in
// which one fails. The table outlives the sinks, as an outside system does.

import {
  type BatchPreference,
  comparePositions,
  EtlError,
  type Lane,
  laneKey,
  type RecordBatch,
  type RecordFailure,
  type Sink,
  type SinkCapabilities,
  type SinkLaneState,
  type WriteResult,
} from '@etl-router/core';

/** One stored record. */
export interface MemoryRow {
  readonly lane: Lane;
  readonly id: string;
  readonly payload: string;
  readonly position: Uint8Array;
  readonly headers: ReadonlyMap<string, string>;
}

/**
 * `append` stores whatever comes; `keyed` one row for each id; `transactional` the lane's position with the rows, and
 * nothing of a write that reports a failure.
 */
export type MemorySinkKind = 'append' | 'keyed' | 'transactional';

/** What becomes of one write. `unknown` stores it and fails all the same; `hang` does not answer. */
export type WriteFault =
  | { readonly kind: 'fail'; readonly error: Error }
  | { readonly kind: 'unknown'; readonly error: Error }
  | { readonly kind: 'wait'; readonly until: Promise<void> }
  | { readonly kind: 'hang' };

export class MemoryTable {
  readonly kind: MemorySinkKind;
  readonly rows: MemoryRow[] = [];
  readonly lanes = new Map<string, { epoch: number; position: Uint8Array | undefined }>();
  /** Sizes of the writes that came, refused ones included. */
  readonly writes: number[] = [];
  /** Times {@link Sink.complete} was called. */
  completions = 0;
  /** Decides over each write before it happens. */
  onWrite: (batch: RecordBatch) => WriteFault | undefined = () => undefined;
  /** Decides over each record: what it returns is reported as that record's failure. */
  onRecord: (payload: string) => Omit<RecordFailure, 'index'> | undefined = () => undefined;
  /** Thrown by open while set, as by a service that is not there. */
  away: Error | undefined;
  /** Thrown by openLane while set. */
  openFailure: Error | undefined;
  preference: BatchPreference = { maxRecords: 100, maxBytes: 1024 * 1024, maxWaitMs: 10 };

  constructor(kind: MemorySinkKind = 'append') {
    this.kind = kind;
  }

  get payloads(): readonly string[] {
    return this.rows.map(({ payload }) => payload);
  }
}

export class MemorySink implements Sink {
  readonly capabilities: SinkCapabilities;
  readonly #table: MemoryTable;
  readonly #openLanes = new Set<string>();

  constructor(table: MemoryTable) {
    this.#table = table;
    this.capabilities = {
      durable: true,
      idempotentByKey: table.kind === 'keyed',
      transactionalPosition: table.kind === 'transactional',
    };
  }

  get batch(): BatchPreference {
    return this.#table.preference;
  }

  async open(): Promise<void> {
    if (this.#table.away !== undefined) throw this.#table.away;
  }

  async openLane(lane: Lane, epoch: number): Promise<SinkLaneState> {
    await Promise.resolve();
    if (this.#table.openFailure !== undefined) throw this.#table.openFailure;
    const key = laneKey(lane);
    const known = this.#table.lanes.get(key);
    if (known !== undefined && epoch < known.epoch) throw fenced(key, epoch);
    const position = known?.position;
    this.#table.lanes.set(key, { epoch, position });
    this.#openLanes.add(key);
    return { position: this.#table.kind === 'transactional' ? position : undefined };
  }

  async write(batch: RecordBatch, signal: AbortSignal): Promise<WriteResult> {
    const table = this.#table;
    const key = laneKey(batch.lane);
    if (!this.#openLanes.has(key)) throw new Error(`lane ${key} was not opened`);
    table.writes.push(batch.count);
    const fault = table.onWrite(batch);
    await Promise.resolve();
    if (fault?.kind === 'wait') await fault.until;
    if (fault?.kind === 'fail') throw fault.error;
    if (fault?.kind === 'hang') await never(signal);
    const held = table.lanes.get(key);
    if (held !== undefined && batch.epoch < held.epoch) throw fenced(key, batch.epoch);
    const failures: RecordFailure[] = [];
    for (let index = 0; index < batch.count; index++) {
      const failure = table.onRecord(batch.payload(index).toString());
      if (failure !== undefined) failures.push({ index, ...failure });
    }
    this.#store(batch, failures);
    if (fault?.kind === 'unknown') throw fault.error;
    return { failures };
  }

  async complete(): Promise<void> {
    this.#table.completions++;
  }

  async close(): Promise<void> {}

  #store(batch: RecordBatch, failures: readonly RecordFailure[]): void {
    const { kind, rows, lanes } = this.#table;
    if (kind === 'transactional' && failures.length > 0) return;
    const failed = new Set(failures.map(({ index }) => index));
    if (kind === 'transactional') {
      const key = laneKey(batch.lane);
      const held = lanes.get(key)?.position;
      if (held !== undefined && comparePositions(batch.position(0), held) <= 0) {
        throw new Error(`lane ${key}: a write at or before the position it holds`);
      }
      const position = Uint8Array.from(batch.position(batch.count - 1));
      lanes.set(key, { epoch: batch.epoch, position });
    }
    for (let index = 0; index < batch.count; index++) {
      if (failed.has(index)) continue;
      const row: MemoryRow = {
        lane: batch.lane,
        id: batch.id(index),
        payload: batch.payload(index).toString(),
        position: Uint8Array.from(batch.position(index)),
        headers: batch.headers(index),
      };
      const known = kind === 'keyed' ? rows.findIndex(({ id }) => id === row.id) : -1;
      if (known >= 0) rows[known] = row;
      else rows.push(row);
    }
  }
}

function fenced(lane: string, epoch: number): EtlError {
  return new EtlError('ETL_FENCED', `lane ${lane} has a higher epoch than ${epoch}`);
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
