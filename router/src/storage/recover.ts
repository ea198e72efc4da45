// Reads the log back when a process starts. It refuses whatever a crash can not explain, and repairs nothing but the
// torn tail of a batch that nobody was told of.

import { AssertionFailure } from '@etl-router/core';
import { roundUp, usedBytes } from './bytes.ts';
import { type Disk, onDisk, readUsed, storageCorrupt } from './disk.ts';
import { logKey } from './frames.ts';
import { LogTail } from './log-tail.ts';
import { LogView } from './log-view.ts';
import {
  decodeSegmentHeader,
  type PlacedFrame,
  parseSegmentName,
  type SegmentHeader,
  type SegmentScan,
  scanSegment,
  segmentName,
} from './segment.ts';
import { SegmentWriter, zeros } from './segment-writer.ts';
import { damageOfLast } from './torn-tail.ts';

/** Where a log is and whose it must be. */
export interface LogLocation {
  readonly disk: Disk;
  readonly directory: string;
  readonly clusterId: string;
  readonly logId: number;
}

/** A log as it was read. */
export interface RecoveredLog {
  readonly view: LogView;
  readonly tail: LogTail;
  readonly writer: SegmentWriter;
  /** Bytes of a torn tail that were cut off. */
  readonly tornBytes: number;
  /** Space that every segment before the writer's takes, by number. */
  readonly sealed: ReadonlyMap<number, number>;
}

interface ReadSegment {
  readonly path: string;
  /** Up to the end of the last sector that is not all zeros. */
  readonly bytes: Uint8Array;
  readonly header: SegmentHeader;
  readonly scan: SegmentScan;
}

/** Opens an existing log. Throws ETL_STORAGE_CORRUPT for damage and for missing segments. */
export async function recoverLog(location: LogLocation): Promise<RecoveredLog> {
  const numbers = await listSegments(location);
  const view = new LogView();
  const tail = new LogTail();
  const sizes = new Map<number, number>();
  let last: ReadSegment | undefined;
  let sealed: ReadSegment | undefined;
  let unused: readonly number[] = [];
  for (const [at, number] of numbers.entries()) {
    const segment: ReadSegment = await readSegment(location, number, last?.scan, (frames) =>
      replay(location, { frames, number, isFirst: at === 0 }, { view, tail }),
    );
    sealed = last;
    last = segment;
    sizes.set(number, roundUp(segment.bytes.length, segment.header.allocateBytes));
    if (segment.scan.sealedTo === undefined) {
      unused = numbers.slice(at + 1);
      await checkUnused(location, segment, unused);
      break;
    }
  }
  if (last === undefined) {
    throw storageCorrupt(location.directory, 0, 'the log has no segment, but one was created');
  }
  if (last.scan.sealedTo !== undefined) {
    throw missing(location, last.scan.sealedTo);
  }
  const lowest = numbers[0] as number;
  const { firstSegment } = tail.base;
  if (lowest > firstSegment || view.hasGap)
    throw missing(location, Math.min(firstSegment, lowest - 1));
  // A process that was killed may have left the seal in the machine's memory only.
  if (sealed !== undefined) await syncSegment(location, sealed);
  const { writer, tornBytes } = await reopenLast(location, last);
  const released = numbers.filter((number) => number < firstSegment);
  await removeSegments(location, [...released, ...unused]);
  for (const number of [...released, writer.header.number]) sizes.delete(number);
  return { view, tail, writer, tornBytes, sealed: sizes };
}

/** Deletes segments, lowest first, so that what stays has no gap. */
export async function removeSegments(
  location: Pick<LogLocation, 'disk' | 'directory'>,
  numbers: readonly number[],
): Promise<void> {
  if (numbers.length === 0) return;
  const { disk, directory } = location;
  for (const number of numbers) {
    const path = `${directory}/${segmentName(number)}`;
    await onDisk('remove', path, () => disk.remove(path));
  }
  await onDisk('sync', directory, () => disk.syncDirectory(directory));
}

async function listSegments(location: LogLocation): Promise<readonly number[]> {
  const { disk, directory } = location;
  const names = await onDisk('list', directory, () => disk.list(directory));
  for (const name of names.filter((candidate) => candidate.endsWith('.log.tmp'))) {
    await onDisk('remove', name, () => disk.remove(`${directory}/${name}`));
  }
  const numbers = names.map(parseSegmentName).filter((number) => number !== undefined);
  for (const [at, number] of numbers.entries()) {
    const expected = (numbers[0] as number) + at;
    if (number !== expected) throw missing(location, expected);
  }
  return numbers;
}

function missing(location: LogLocation, number: number): Error {
  const path = `${location.directory}/${segmentName(number)}`;
  return storageCorrupt(path, 0, 'the segment is missing');
}

async function readSegment(
  location: LogLocation,
  number: number,
  before: SegmentScan | undefined,
  onBatch: (frames: readonly PlacedFrame[]) => void,
): Promise<ReadSegment> {
  const path = `${location.directory}/${segmentName(number)}`;
  const read = await readUsed(location.disk, path);
  if (read === undefined) throw missing(location, number);
  const { bytes, size } = read;
  const header = decodeSegmentHeader(bytes, path);
  if (size < header.sizeBytes) {
    throw storageCorrupt(path, size, `the file ends, but was made with ${header.sizeBytes} bytes`);
  }
  if (header.number !== number) {
    throw storageCorrupt(path, 16, `it is segment ${header.number} under another name`);
  }
  if (header.clusterId !== location.clusterId || header.logId !== location.logId) {
    throw storageCorrupt(path, 24, `it belongs to another log, of cluster ${header.clusterId}`);
  }
  if (before && (header.chain !== before.chain || header.firstBatch !== before.batch)) {
    throw storageCorrupt(path, 32, 'it does not continue the segment before');
  }
  return { path, bytes, header, scan: scanSegment(bytes, header, logKey(location.logId), onBatch) };
}

/** Applies one whole batch. Checksums were right, so what does not fit is damage of the file's history. */
function replay(
  location: LogLocation,
  batch: {
    readonly frames: readonly PlacedFrame[];
    readonly number: number;
    readonly isFirst: boolean;
  },
  state: { readonly view: LogView; readonly tail: LogTail },
): void {
  for (const { frame, offset } of batch.frames) {
    try {
      state.tail.apply(frame, batch.number);
      switch (frame.kind) {
        case 'entry':
          state.view.append(frame.entry);
          break;
        case 'state':
          state.view.setHardState(frame.hardState);
          break;
        case 'snapshot':
          state.view.markSnapshot(frame.position);
          break;
        case 'reset':
          state.view.reset(frame.position);
          break;
        case 'compact':
          state.view.compact(frame.position);
          break;
        case 'base':
          if (batch.isFirst) state.view.startAt(frame.base);
          break;
        case 'seal':
        case 'commit':
          break;
      }
    } catch (error) {
      if (!(error instanceof AssertionFailure)) throw error;
      throw storageCorrupt(
        `${location.directory}/${segmentName(batch.number)}`,
        offset,
        error.message,
      );
    }
  }
}

/** A crash may leave one segment without records behind one that is not sealed yet; more than that is damage. */
async function checkUnused(
  location: LogLocation,
  unsealed: ReadSegment,
  following: readonly number[],
): Promise<void> {
  const [next, ...more] = following;
  if (next === undefined) return;
  const { path, scan } = unsealed;
  const offset = scan.damage?.offset ?? scan.end;
  const what = scan.damage?.what ?? 'it has no seal';
  const unused = await readSegment(location, next, undefined, () => {});
  if (more.length > 0 || unused.scan.batches !== 1 || unused.scan.damage !== undefined) {
    throw storageCorrupt(path, offset, `${what}, but segment ${segmentName(next)} follows`);
  }
}

async function syncSegment({ disk }: LogLocation, { path }: ReadSegment): Promise<void> {
  const file = await onDisk('open', path, () => disk.open(path, 'update'));
  try {
    await onDisk('sync', path, () => file.sync());
  } finally {
    await file.close();
  }
}

async function reopenLast(
  location: LogLocation,
  last: ReadSegment,
): Promise<{ readonly writer: SegmentWriter; readonly tornBytes: number }> {
  const { path, bytes, header, scan } = last;
  const { disk, directory, logId } = location;
  const key = logKey(logId);
  const damage = damageOfLast(bytes, scan, key);
  if (damage !== undefined) throw storageCorrupt(path, damage.offset, damage.what);
  if (scan.batches === 0) throw storageCorrupt(path, scan.end, 'the segment has no base');
  const used = usedBytes(bytes);
  const allocated = roundUp(used, header.allocateBytes);
  const file = await onDisk('open', path, () => disk.open(path, 'update'));
  const lastBatch = bytes.subarray(scan.lastBatchOffset, scan.end);
  try {
    await onDisk('write', path, () =>
      file.write(scan.lastBatchOffset, [lastBatch, ...zeros(allocated - scan.end)]),
    );
    await onDisk('sync', path, () => file.sync());
    await onDisk('sync', directory, () => disk.syncDirectory(directory));
  } catch (error) {
    await file.close();
    throw error;
  }
  const { end, batch, chain } = scan;
  const place = { end, allocated, batch, chain };
  const writer = new SegmentWriter({ path, header, file }, key, place);
  return { writer, tornBytes: used - end };
}
