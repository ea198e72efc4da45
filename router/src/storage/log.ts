// The log on disk: one writer, one sync in flight, and nothing told to be durable before it is. Whatever arrives during
// a sync joins the next batch. The first error ends the log for good: what reached the disk is unknown from then on,
// so it must never write, sync or promise again.

import { assert, type Clock, EtlError } from '@etl-router/core';
import { roundUp } from './bytes.ts';
import { onDisk, storageCorrupt, storageFailed } from './disk.ts';
import { type Frame, frameBytes, logKey } from './frames.ts';
import { emptyBase, LogTail } from './log-tail.ts';
import {
  type AppendDone,
  type Entry,
  type HardState,
  type LogPosition,
  type LogRecord,
  maxEntryBytes,
  type RaftLog,
  stateBefore,
} from './log-types.ts';
import { LogView } from './log-view.ts';
import { type LogLocation, type RecoveredLog, recoverLog, removeSegments } from './recover.ts';
import { parseSegmentName } from './segment.ts';
import { SegmentWriter } from './segment-writer.ts';

/** One write and its sync, for metrics. */
export interface SyncEvent {
  readonly bytes: number;
  readonly records: number;
  readonly durationMs: number;
}

export interface LogOptions extends LogLocation {
  readonly clock: Clock;
  /** Makes a new, empty log; what an unfinished attempt left is removed. Otherwise the log must exist. */
  readonly create: boolean;
  /** Size at which the next segment begins. Default 64 MiB. */
  readonly segmentBytes?: number;
  /** Bytes zeroed ahead at a time, a multiple of 512. Default 1 MiB. */
  readonly allocateBytes?: number;
  readonly onSync?: (event: SyncEvent) => void;
}

/** A batch is closed at this size or this many entries, unless one record alone is larger. */
const batchMaxBytes = 1024 * 1024;
const batchMaxEntries = 512;

interface Request {
  readonly hardState?: HardState | undefined;
  readonly entries: readonly Entry[];
  /** A snapshot, a reset or a compaction; the segment of the latter is known when it is written. */
  readonly mark?: Frame | undefined;
  readonly bytes: number;
  readonly done: AppendDone;
}

/** The log of one member. */
export class Log implements RaftLog {
  /** Bytes of a torn tail that opening cut off: what a crash left of records that nobody was told of. */
  readonly tornBytes: number;
  readonly #options: LogOptions;
  readonly #view: LogView;
  readonly #tail: LogTail;
  readonly #key: number;
  #writer: SegmentWriter;
  /** Space that the segments before the one that is written take, by number. */
  readonly #sealed: Map<number, number>;
  #queue: Request[] = [];
  #flushing: Promise<void> | undefined;
  #durable: LogPosition;
  #failure: EtlError | undefined;
  /** A commit index that was told and is not written yet. */
  #pendingState: HardState | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    options: LogOptions,
    parts: Omit<RecoveredLog, 'tornBytes'>,
    tornBytes: number,
  ) {
    this.#options = options;
    this.#view = parts.view;
    this.#tail = parts.tail;
    this.#writer = parts.writer;
    this.#sealed = new Map(parts.sealed);
    this.#key = logKey(options.logId);
    this.#durable = parts.tail.base.last;
    this.tornBytes = tornBytes;
  }

  /** Opens or creates a log. The caller holds the lock of the data directory. */
  static async open(options: LogOptions): Promise<Log> {
    const { allocateBytes = defaultAllocateBytes } = options;
    assert(allocateBytes > 0 && allocateBytes % 512 === 0, 'allocateBytes is a multiple of 512');
    if (options.create) return await createLog(options, (parts) => new Log(options, parts, 0));
    const recovered = await recoverLog(options);
    return new Log(options, recovered, recovered.tornBytes);
  }

  get hardState(): HardState {
    return this.#view.hardState;
  }

  get snapshot(): LogPosition {
    return this.#view.snapshot;
  }

  get compacted(): LogPosition {
    return this.#view.compacted;
  }

  get firstIndex(): number {
    return this.#view.firstIndex;
  }

  get lastIndex(): number {
    return this.#view.lastIndex;
  }

  get durable(): LogPosition {
    return this.#durable;
  }

  get failure(): EtlError | undefined {
    return this.#failure;
  }

  /** Memory that the entries take, about. */
  get bytes(): number {
    return this.#view.bytes;
  }

  /** Space that its files take. */
  get diskBytes(): number {
    let bytes = this.#writer.allocatedBytes;
    for (const size of this.#sealed.values()) bytes += size;
    return bytes;
  }

  term(index: number): number | undefined {
    return this.#view.term(index);
  }

  entries(low: number, high: number, maxBytes: number): readonly Entry[] {
    return this.#view.entries(low, high, maxBytes);
  }

  append(record: LogRecord, done: AppendDone): void {
    const { hardState, entries = [], snapshot } = record;
    if (this.#refuses(done)) return;
    const before = hardState && stateBefore(hardState, entries);
    if (before !== undefined) this.#view.setHardState(before);
    const mark = snapshot && this.#markSnapshot(snapshot);
    let bytes = 0;
    for (const entry of entries) {
      assert(entry.data.length <= maxEntryBytes, `entry ${entry.index} is larger than 1 MiB`);
      this.#view.append(entry);
      bytes += frameBytes({ kind: 'entry', entry });
    }
    if (hardState !== undefined && hardState !== before) this.#view.setHardState(hardState);
    this.#enqueue({ hardState, entries, mark, bytes, done });
  }

  compact(index: number, done: AppendDone): void {
    if (this.#refuses(done)) return;
    const position = { index, term: this.#view.term(index) ?? 0 };
    assert(
      position.term > 0 || index === 0,
      `can not compact to ${index}: the log does not hold it`,
    );
    this.#view.compact(position);
    const mark: Frame = { kind: 'compact', position, firstSegment: 0 };
    this.#enqueue({ entries: [], mark, bytes: 0, done });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#flushing;
    const { hardState } = this.#view;
    try {
      if (this.#failure === undefined && !sameState(hardState, this.#tail.base.hardState)) {
        await this.#write([{ kind: 'state', hardState }], 0);
      }
    } finally {
      await this.#writer.close();
    }
  }

  #markSnapshot(position: LogPosition): Frame {
    const { index, term } = position;
    const held = index <= this.#view.lastIndex && this.#view.term(index) === term;
    if (held) this.#view.markSnapshot(position);
    else this.#view.reset(position);
    return { kind: held ? 'snapshot' : 'reset', position };
  }

  #refuses(done: AppendDone): boolean {
    const error =
      this.#failure ??
      (this.#closing ? new EtlError('ETL_CANCELLED', 'the log is closed') : undefined);
    if (error !== undefined) queueMicrotask(() => done(error));
    return error !== undefined;
  }

  #enqueue(request: Request): void {
    this.#queue.push(request);
    this.#flushing ??= this.#flush();
  }

  async #flush(): Promise<void> {
    // The calls of one turn of the caller join one batch.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#takeBatch();
      const error = await this.#commit(batch);
      for (const request of batch) request.done(error);
    }
    this.#flushing = undefined;
  }

  #takeBatch(): readonly Request[] {
    let bytes = 0;
    let entries = 0;
    let count = 0;
    for (const request of this.#queue) {
      bytes += request.bytes;
      entries += request.entries.length;
      if (count > 0 && (bytes > batchMaxBytes || entries > batchMaxEntries)) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** Makes a batch durable; the error is that of the log, this one's or an earlier one's. */
  async #commit(batch: readonly Request[]): Promise<EtlError | undefined> {
    if (this.#failure !== undefined) return this.#failure;
    try {
      const frames = this.#framesOf(batch);
      if (frames.length > 0) await this.#write(frames, batch.length);
      this.#durable = this.#tail.base.last;
      if (frames.some((frame) => frame.kind === 'compact')) await this.#release();
      return undefined;
    } catch (error) {
      this.#failure = storageFailed('write', this.#writer.path, error);
      return this.#failure;
    }
  }

  /** Frames of a batch, in order. A change of the commit index alone waits until there is something else to write. */
  #framesOf(batch: readonly Request[]): readonly Frame[] {
    const frames: Frame[] = [];
    const written = this.#tail.base.hardState;
    let latest = this.#pendingState ?? written;
    let emitted = written;
    for (const { hardState = latest, entries, mark } of batch) {
      latest = hardState;
      const before = stateBefore(hardState, entries);
      const vital = before.term !== emitted.term || before.vote !== emitted.vote;
      const carried = entries.length > 0 || mark !== undefined;
      if (vital || (carried && !sameState(before, emitted))) {
        frames.push({ kind: 'state', hardState: before });
        emitted = before;
      }
      if (mark !== undefined) frames.push(mark);
      for (const entry of entries) frames.push({ kind: 'entry', entry });
      if (before === hardState) continue;
      frames.push({ kind: 'state', hardState });
      emitted = hardState;
    }
    this.#pendingState = sameState(latest, emitted) ? undefined : latest;
    return frames;
  }

  async #write(frames: readonly Frame[], records: number): Promise<void> {
    const { clock, onSync, segmentBytes = defaultSegmentBytes } = this.#options;
    const startMs = clock.monotonicMs();
    const size = frames.reduce((sum, frame) => sum + frameBytes(frame), 0);
    if (!this.#writer.hasRoom(size, segmentBytes)) await this.#roll();
    const { number } = this.#writer.header;
    const placed = frames.map((frame) => this.#place(frame, number));
    const bytes = await this.#writer.append(placed);
    onSync?.({ bytes, records, durationMs: clock.monotonicMs() - startMs });
  }

  /** Brings the tail up to a frame, and fills in what is only known where it is written. */
  #place(frame: Frame, segment: number): Frame {
    const placed: Frame =
      frame.kind === 'compact'
        ? { ...frame, firstSegment: this.#tail.neededFrom(frame.position.index, segment) }
        : frame;
    this.#tail.apply(placed, segment);
    return placed;
  }

  /** Goes on in a new segment: first it is made, then the old one is sealed. */
  async #roll(): Promise<void> {
    const old = this.#writer;
    const { disk, directory } = this.#options;
    const number = old.header.number + 1;
    const seal: Frame = { kind: 'seal', nextSegment: number };
    const sizeBytes = sizeOf(this.#options);
    const header = { ...old.header, ...old.continuation(seal), number, sizeBytes };
    const base: Frame = { kind: 'base', base: this.#tail.base };
    const next = await SegmentWriter.create(disk, directory, header, { key: this.#key, base });
    try {
      await old.append([seal]);
    } catch (error) {
      await next.close();
      throw error;
    }
    this.#writer = next;
    this.#sealed.set(old.header.number, old.allocatedBytes);
    await old.close();
  }

  /** Removes the segments that no entry needs any more. */
  async #release(): Promise<void> {
    const { disk, directory } = this.#options;
    const { firstSegment } = this.#tail.base;
    const names = await onDisk('list', directory, () => disk.list(directory));
    const released = names
      .map(parseSegmentName)
      .filter((number) => number !== undefined && number < firstSegment);
    await removeSegments(this.#options, released as readonly number[]);
    for (const number of released as readonly number[]) this.#sealed.delete(number);
  }
}

/** Size of a segment where nothing else is said. */
export const defaultSegmentBytes: number = 64 * 1024 * 1024;
const defaultAllocateBytes = 1024 * 1024;

async function createLog(
  options: LogOptions,
  build: (parts: Omit<RecoveredLog, 'tornBytes'>) => Log,
): Promise<Log> {
  const { disk, directory, clusterId, logId, allocateBytes = defaultAllocateBytes } = options;
  await onDisk('create', directory, () => disk.makeDirectory(directory));
  const names = await onDisk('list', directory, () => disk.list(directory));
  const leftovers = names.map(parseSegmentName).filter((number) => number !== undefined);
  await checkLeftovers(options, leftovers);
  await removeSegments(options, leftovers);
  const sizeBytes = sizeOf(options);
  const header = { number: 1, logId, clusterId, firstBatch: 1, chain: 0, allocateBytes, sizeBytes };
  const base: Frame = { kind: 'base', base: emptyBase };
  const key = logKey(logId);
  const writer = await SegmentWriter.create(disk, directory, header, { key, base });
  return build({ view: new LogView(), tail: new LogTail(), writer, sealed: new Map() });
}

/**
 * What was left where no log is said to be may be the beginning of one, whole since a segment gets its name last, and
 * nothing that anybody was told of.
 */
async function checkLeftovers(options: LogOptions, numbers: readonly number[]): Promise<void> {
  const { directory } = options;
  const isUsed = async (): Promise<boolean> => {
    if (numbers.length > 1) return true;
    const { view, writer } = await recoverLog(options);
    await writer.close();
    return view.hardState.term > 0 || view.lastIndex > 0;
  };
  if (numbers.length === 0) return;
  if (await isUsed())
    throw storageCorrupt(
      directory,
      0,
      'it holds a log, and the identity beside it says that none was made',
    );
}

/** Size of a segment's file. */
function sizeOf(options: LogOptions): number {
  const { segmentBytes = defaultSegmentBytes, allocateBytes = defaultAllocateBytes } = options;
  return roundUp(segmentBytes, allocateBytes);
}

function sameState(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && a.commit === b.commit;
}
