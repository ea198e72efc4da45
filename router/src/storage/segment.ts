// One file of the log: its name, its header, and reading its frames back (docs/specs/0003-log-format.md). Pure over
// bytes. What to make of damage is decided by torn-tail.ts and recover.ts.

import { crc32 } from 'node:zlib';
import { assert } from '@etl-router/core';
import { isZero, readCount, viewOf, writeCount } from './bytes.ts';
import { storageCorrupt } from './disk.ts';
import { commitFrameBytes, type Frame, frameBytes, readFrame, writeFrame } from './frames.ts';

/** Bytes before the first frame. */
export const segmentHeaderBytes = 256;
const magic: Uint8Array = Buffer.from('ETLRLOG\n', 'latin1');
const formatVersion = 2;
const clusterIdMaxBytes = 64;

/** What a segment says about itself. */
export interface SegmentHeader {
  readonly number: number;
  readonly logId: number;
  readonly clusterId: string;
  readonly firstBatch: number;
  /** Chain of the last frame before this segment. */
  readonly chain: number;
  readonly allocateBytes: number;
  /** What the file was made with; a smaller one was cut. */
  readonly sizeBytes: number;
}

/** The name of a segment's file. */
export function segmentName(number: number): string {
  return `${String(number).padStart(16, '0')}.log`;
}

/** The number in a segment's name; undefined for any other file. */
export function parseSegmentName(name: string): number | undefined {
  const match = /^(\d{16})\.log$/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(segmentHeaderBytes);
  const view = viewOf(bytes);
  const clusterId = Buffer.from(header.clusterId, 'utf8');
  assert(
    clusterId.length > 0 && clusterId.length <= clusterIdMaxBytes,
    'a cluster id has 1 to 64 bytes',
  );
  bytes.set(magic, 0);
  view.setUint32(8, formatVersion, true);
  view.setUint32(12, header.allocateBytes, true);
  writeCount(view, 16, header.number);
  writeCount(view, 24, header.logId);
  writeCount(view, 32, header.firstBatch);
  view.setUint32(40, header.chain, true);
  bytes[44] = clusterId.length;
  bytes.set(clusterId, 45);
  writeCount(view, 112, header.sizeBytes);
  view.setUint32(252, crc32(bytes.subarray(0, 252)), true);
  return bytes;
}

/** Reads a header; throws ETL_STORAGE_CORRUPT for anything that is none of a version this code knows. */
export function decodeSegmentHeader(bytes: Uint8Array, path: string): SegmentHeader {
  if (bytes.length < segmentHeaderBytes) {
    throw storageCorrupt(path, bytes.length, 'the file ends in its header');
  }
  const view = viewOf(bytes);
  if (view.getUint32(252, true) !== crc32(bytes.subarray(0, 252))) {
    throw storageCorrupt(path, 0, 'the header does not match its checksum');
  }
  if (Buffer.compare(bytes.subarray(0, 8), magic) !== 0) {
    throw storageCorrupt(path, 0, 'this is no log segment');
  }
  const version = view.getUint32(8, true);
  if (version !== formatVersion) {
    throw storageCorrupt(
      path,
      8,
      `format version ${version} is not ${formatVersion}, the one known here`,
    );
  }
  const number = readCount(view, 16);
  const logId = readCount(view, 24);
  const firstBatch = readCount(view, 32);
  const sizeBytes = readCount(view, 112);
  if (
    number === undefined ||
    logId === undefined ||
    firstBatch === undefined ||
    sizeBytes === undefined
  ) {
    throw storageCorrupt(path, 16, 'a number in the header is above 2^53 - 1');
  }
  const clusterId = Buffer.from(bytes.subarray(45, 45 + (bytes[44] as number))).toString('utf8');
  const chain = view.getUint32(40, true);
  const allocateBytes = view.getUint32(12, true);
  return { number, logId, clusterId, firstBatch, chain, allocateBytes, sizeBytes };
}

/** Where a batch goes. */
export interface BatchPlace {
  /** Offset in the file. */
  readonly offset: number;
  readonly batch: number;
  readonly chain: number;
  readonly key: number;
}

/** The bytes of a batch and the chain after it. */
export function encodeBatch(
  frames: readonly Frame[],
  place: BatchPlace,
): { readonly bytes: Uint8Array; readonly chain: number } {
  const length = frames.reduce((sum, frame) => sum + frameBytes(frame), commitFrameBytes);
  const bytes = new Uint8Array(length);
  let { chain } = place;
  let at = 0;
  const commit: Frame = { kind: 'commit', batch: place.batch, offset: place.offset };
  for (const frame of [...frames, commit]) {
    chain = writeFrame(bytes, at, frame, { chain, key: place.key, base: place.offset });
    at += frameBytes(frame);
  }
  return { bytes, chain };
}

/** A frame and where it stands. */
export interface PlacedFrame {
  readonly frame: Frame;
  readonly offset: number;
}

/** How far a segment can be read. */
export interface SegmentScan {
  /** Behind the last whole batch. */
  readonly end: number;
  readonly chain: number;
  /** Number of the batch to come. */
  readonly batch: number;
  readonly batches: number;
  /** Where the last whole batch begins. */
  readonly lastBatchOffset: number;
  /** The segment the log goes on in. */
  readonly sealedTo: number | undefined;
  /** The first frame that can not be read, unless nothing but zeros follows the last batch. */
  readonly damage:
    | { readonly offset: number; readonly end: number; readonly what: string }
    | undefined;
}

/** Reads whole batches from the first to a seal, to the end, or to the first damage. */
export function scanSegment(
  bytes: Uint8Array,
  header: SegmentHeader,
  key: number,
  onBatch: (frames: readonly PlacedFrame[]) => void,
): SegmentScan {
  let scan = {
    end: segmentHeaderBytes,
    chain: header.chain,
    batch: header.firstBatch,
    batches: 0,
    lastBatchOffset: segmentHeaderBytes,
  };
  let frames: PlacedFrame[] = [];
  let sealedTo: number | undefined;
  let { end: at, chain } = scan;
  const damaged = (what: string, end: number): SegmentScan => ({
    ...scan,
    sealedTo: undefined,
    damage: { offset: at, end, what },
  });
  while (sealedTo === undefined || frames.length > 0) {
    const read = readFrame(bytes, at, { chain, key });
    if ('damage' in read) {
      const untouched = frames.length === 0 && isZero(bytes, at, bytes.length);
      return untouched
        ? { ...scan, sealedTo: undefined, damage: undefined }
        : damaged(read.damage, read.end);
    }
    const { frame } = read;
    if (frame.kind !== 'commit') {
      frames.push({ frame, offset: at });
      if (frame.kind === 'seal') sealedTo = frame.nextSegment;
    } else {
      if (frame.batch !== scan.batch || frame.offset !== scan.end || frames.length === 0) {
        return damaged(`batch ${frame.batch} stands where batch ${scan.batch} belongs`, read.end);
      }
      onBatch(frames);
      frames = [];
      scan = {
        end: read.end,
        chain: read.chain,
        batch: scan.batch + 1,
        batches: scan.batches + 1,
        lastBatchOffset: scan.end,
      };
    }
    at = read.end;
    chain = read.chain;
  }
  return { ...scan, sealedTo, damage: undefined };
}
