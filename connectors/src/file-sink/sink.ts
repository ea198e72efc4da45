// Writes records into files, exactly once: with each write the length of the file and the position of the lane are
// made durable together, after the data. Lanes that write at the same time share the syncs.

import { basename, resolve } from 'node:path';
import {
  assert,
  type BatchPreference,
  type Cancel,
  comparePositions,
  EtlError,
  isEtlError,
  type Lane,
  laneKey,
  type RecordBatch,
  type Sink,
  type SinkCapabilities,
  type SinkLaneState,
  type StageContext,
  toEtlError,
  type WriteResult,
} from '@etl-router/core';
import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { Encoder, type Prepared } from './encoder.ts';
import { type FileSystem, realFileSystem } from './files.ts';
import { Output } from './output.ts';
import { type FileSinkSettings, fileSinkSettingsHelp, readFileSinkSettings } from './settings.ts';
import { keyOfLane, type LaneState } from './state.ts';

const capabilities: SinkCapabilities = {
  durable: true,
  idempotentByKey: false,
  transactionalPosition: true,
};

/** `file`, as a sink. */
export const fileSink: AnyConnector = defineConnector<FileSinkSettings>({
  kind: 'sink',
  type: 'file',
  settings: fileSinkSettingsHelp,
  read: readFileSinkSettings,
  capabilities: () => capabilities,
  create: (settings) => new FileSink(settings),
});

const nothingFailed: WriteResult = { failures: [] };

interface PendingWrite {
  readonly batch: RecordBatch;
  readonly signal: AbortSignal;
  readonly prepared: Prepared | undefined;
  readonly resolve: (result: WriteResult) => void;
  readonly reject: (error: unknown) => void;
}

/** A write that is going to be stored, and where its lane then stands. */
interface Accepted {
  readonly write: PendingWrite;
  readonly prepared: Prepared;
  readonly lane: LaneState;
}

interface Opened {
  readonly output: Output;
  readonly encoder: Encoder;
}

export class FileSink implements Sink {
  readonly capabilities: SinkCapabilities = capabilities;
  readonly batch: BatchPreference;
  readonly #settings: FileSinkSettings;
  readonly #files: FileSystem;
  #context: StageContext | undefined;
  #opened: Opened | undefined;
  #pending: PendingWrite[] = [];
  #tail: Promise<unknown> = Promise.resolve();
  #cancelAge: Cancel | undefined;
  #isClosed = false;

  /** `files` is the file system; tests give a faulty one. */
  constructor(settings: FileSinkSettings, files: FileSystem = realFileSystem) {
    this.#settings = settings;
    this.#files = files;
    const isParquet = settings.format === 'parquet';
    this.batch = {
      maxRecords: isParquet ? 50_000 : 16_384,
      maxBytes: 8 * 1024 * 1024,
      maxWaitMs: isParquet ? 1000 : 250,
    };
  }

  async open(context: StageContext): Promise<void> {
    assert(this.#context === undefined, 'a sink is opened once');
    this.#context = context;
  }

  openLane(lane: Lane, epoch: number): Promise<SinkLaneState> {
    return this.#exclusive(async () => {
      const { output } = await this.#open();
      const stored = output.state.lanes.get(this.#key(lane));
      if (stored !== undefined && stored.epoch > epoch) throw fenced(lane, epoch, stored.epoch);
      if (stored === undefined || stored.epoch < epoch) {
        const position = stored?.position ?? null;
        await output.record({ lanes: [{ ...this.#owner(lane), epoch, position }] });
      }
      const position = stored?.position ?? undefined;
      return { position: position === undefined ? undefined : Buffer.from(position, 'hex') };
    });
  }

  async write(batch: RecordBatch, signal: AbortSignal): Promise<WriteResult> {
    throwIfAborted(signal);
    if (this.#isClosed) throw closed();
    if (batch.count === 0) return nothingFailed;
    const prepared = this.#opened?.encoder.prepare(batch);
    return new Promise((resolve, reject) => {
      this.#pending.push({ batch, signal, prepared, resolve, reject });
      if (this.#pending.length === 1)
        void this.#exclusive(() => this.#writePending()).catch(() => {});
    });
  }

  /** Finishes the last file of a series. Throws when what was stored is not there any more. */
  complete(): Promise<void> {
    return this.#exclusive(async () => {
      const opened = await this.#open();
      await this.#finish(opened);
      await opened.output.confirm();
    });
  }

  /** Finishes the last file of a series, if the output is open; what is stored is stored either way. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelAge?.();
    await this.#serial(async () => {
      const opened = this.#opened;
      if (opened === undefined) return;
      try {
        await this.#finish(opened);
      } finally {
        this.#opened = undefined;
        await opened.output.close();
      }
    });
  }

  /** Stores all writes that wait, with one sync of the data and one of the state where they go into one file. */
  async #writePending(): Promise<void> {
    const group = this.#pending;
    this.#pending = [];
    try {
      const opened = await this.#open();
      let accepted: Accepted[] = [];
      for (const write of group) {
        const next = this.#accept(opened, write);
        if (next === undefined) continue;
        if (opened.encoder.needsNewFile(next.prepared)) {
          if (this.#settings.rotation === undefined) throw otherColumns(this.#settings.path);
          await this.#store(opened, accepted);
          accepted = [];
          await this.#finish(opened);
        }
        opened.encoder.adopt(next.prepared);
        accepted.push(next);
      }
      await this.#store(opened, accepted);
      await this.#rotate(opened);
    } catch (error) {
      for (const { reject } of group) reject(this.#failure(error));
      throw error;
    }
  }

  /** Settles a write that stores nothing; returns it when there is something to store. */
  #accept({ output, encoder }: Opened, write: PendingWrite): Accepted | undefined {
    const { batch, signal } = write;
    try {
      throwIfAborted(signal);
      const stored = output.state.lanes.get(this.#key(batch.lane));
      if (stored?.epoch !== batch.epoch) throw fenced(batch.lane, batch.epoch, stored?.epoch);
      const skipped =
        stored.position === null ? 0 : countUpTo(batch, Buffer.from(stored.position, 'hex'));
      const isUsable =
        skipped === 0 && write.prepared !== undefined && encoder.fits(write.prepared);
      const prepared = isUsable
        ? (write.prepared as Prepared)
        : encoder.prepare(batch.slice(skipped, batch.count));
      if (prepared.count === 0 || prepared.failures.length > 0) {
        write.resolve({
          failures: prepared.failures.map((failure) => ({
            ...failure,
            index: failure.index + skipped,
          })),
        });
        return undefined;
      }
      const position = batch.position(batch.count - 1).toString('hex');
      return { write, prepared, lane: { ...stored, position } };
    } catch (error) {
      write.reject(error);
      return undefined;
    }
  }

  async #store({ output, encoder }: Opened, accepted: readonly Accepted[]): Promise<void> {
    if (accepted.length === 0) return;
    if (output.state.file === undefined) {
      await output.begin(encoder.table?.columns, this.#clock().wallMs());
      this.#startAging(output);
    }
    const bytes: Buffer[] = [];
    const groups: string[] = [];
    let length = output.state.file?.length ?? 0;
    for (const { prepared } of accepted) {
      const encoded = encoder.encode(prepared, length);
      bytes.push(encoded.bytes);
      length += encoded.bytes.length;
      if (encoded.rowGroup !== undefined) groups.push(encoded.rowGroup);
    }
    const records = accepted.reduce((sum, { prepared }) => sum + prepared.count, 0);
    const lanes = accepted.map(({ lane }) => lane);
    await output.append({ bytes, records, change: { lanes, newRowGroups: groups } });
    for (const { write } of accepted) write.resolve(nothingFailed);
  }

  async #rotate(opened: Opened): Promise<void> {
    const { rotation } = this.#settings;
    const { file } = opened.output.state;
    if (rotation === undefined || file === undefined) return;
    const { maxBytes, maxRecords, maxAgeMs } = rotation;
    const isOld = maxAgeMs !== undefined && this.#clock().wallMs() - file.startedMs >= maxAgeMs;
    const isLarge = file.length >= maxBytes || file.records >= maxRecords;
    if (isOld || isLarge || opened.encoder.isFull) await this.#finish(opened);
  }

  async #finish({ output, encoder }: Opened): Promise<void> {
    if (this.#settings.rotation === undefined || output.state.file === undefined) return;
    this.#cancelAge?.();
    this.#cancelAge = undefined;
    await output.finish(encoder.end());
  }

  /** Finishes a file in time even when nothing more is written. */
  #startAging(output: Output): void {
    const maxAgeMs = this.#settings.rotation?.maxAgeMs;
    const startedMs = output.state.file?.startedMs;
    if (maxAgeMs === undefined || startedMs === undefined) return;
    this.#cancelAge?.();
    const leftMs = Math.max(0, maxAgeMs - (this.#clock().wallMs() - startedMs));
    this.#cancelAge = this.#clock().after(leftMs, () => {
      this.#cancelAge = undefined;
      void this.#exclusive(async () => {
        if (this.#opened !== undefined) await this.#rotate(this.#opened);
      }).catch(() => {});
    });
  }

  async #open(): Promise<Opened> {
    if (this.#opened !== undefined) return this.#opened;
    const { path, rotation } = this.#settings;
    const context = this.#context;
    assert(context !== undefined, 'a sink is opened before it is used');
    const output = await Output.open({
      files: this.#files,
      path: resolve(context.baseDirectory, path),
      isSeries: rotation !== undefined,
    });
    this.#opened = { output, encoder: new Encoder(this.#settings, output.state) };
    this.#startAging(output);
    return this.#opened;
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed)
      return Promise.reject(new EtlError('ETL_CANCELLED', 'the file sink is closed'));
    return this.#serial(work);
  }

  /** Runs one piece of work after the other. One that fails leaves the output closed: the next recovers it. */
  #serial<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(async () => {
      try {
        return await work();
      } catch (error) {
        if (!isEtlError(error) || error.code !== 'ETL_FENCED') await this.#abandon();
        throw this.#failure(error);
      }
    });
    this.#tail = run.catch(() => {});
    return run;
  }

  async #abandon(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    this.#cancelAge?.();
    this.#cancelAge = undefined;
    await opened?.output.close().catch(() => {});
  }

  #failure(error: unknown): EtlError {
    if (isEtlError(error)) return error;
    const { code, message } = error as NodeJS.ErrnoException;
    const isFull = code === 'ENOSPC' || code === 'EDQUOT';
    const isRefused = ['EACCES', 'EPERM', 'EROFS', 'ENOTSUP', 'EISDIR', 'ENOTDIR'].includes(
      code ?? '',
    );
    if (code === undefined) return toEtlError(error);
    return new EtlError(
      'ETL_CONNECTOR_FAILED',
      `${basename(this.#settings.path)}: ${isFull ? 'the disk is full; free space, it is tried again' : message}`,
      { cause: error, details: { path: this.#settings.path }, retryable: !isRefused },
    );
  }

  #owner(lane: Lane): Omit<LaneState, 'epoch' | 'position'> {
    assert(this.#context !== undefined, 'a sink is opened before it is used');
    const { pipeline, stage } = this.#context;
    return { pipeline, stage, source: lane.source, partition: lane.partition };
  }

  #key(lane: Lane): string {
    return keyOfLane(this.#owner(lane));
  }

  #clock(): StageContext['clock'] {
    assert(this.#context !== undefined, 'a sink is opened before it is used');
    return this.#context.clock;
  }
}

function closed(): EtlError {
  return new EtlError('ETL_CANCELLED', 'the file sink is closed');
}

function otherColumns(path: string): EtlError {
  return new EtlError(
    'ETL_CONFIG_INVALID',
    `columns: ${path} was begun with other columns; give another path, or a series with {sequence} in its name`,
    { details: { field: 'columns' } },
  );
}

function fenced(lane: Lane, epoch: number, held: number | undefined): EtlError {
  const why = held === undefined ? 'was never opened here' : `is held under ${held}`;
  return new EtlError(
    'ETL_FENCED',
    `lane ${laneKey(lane)}: epoch ${epoch} is refused, the lane ${why}`,
    { details: { lane: laneKey(lane), epoch } },
  );
}

/** Records at or before `position`. */
function countUpTo(batch: RecordBatch, position: Uint8Array): number {
  let count = 0;
  while (count < batch.count && comparePositions(batch.position(count), position) <= 0) count++;
  return count;
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw toEtlError(signal.reason, 'ETL_CANCELLED');
}
