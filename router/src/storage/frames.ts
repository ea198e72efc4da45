// Frames of the log to bytes and back (docs/specs/0003-log-format.md, "Frame"). Pure: knows nothing of files, and
// reads only what its checksums prove.
//
//   0 u32 length of body · 4 u8 type · 5 u8 mask · 6 zeros · 8 u32 chain · 12 u32 header's CRC · 16 body · padding to 8

import { crc32 } from 'node:zlib';
import { unreachable } from '@etl-router/core';
import { readCount, roundUp, viewOf, writeCount } from './bytes.ts';
import { type Entry, type HardState, type LogPosition, maxEntryBytes } from './log-types.ts';
import { applyMask, maskFor } from './mask.ts';

/** All that holds where a segment begins. */
export interface LogBase {
  readonly hardState: HardState;
  readonly snapshot: LogPosition;
  readonly compacted: LogPosition;
  /** Segments below this one are released. */
  readonly firstSegment: number;
  readonly last: LogPosition;
}

/** One frame. */
export type Frame =
  | { readonly kind: 'entry'; readonly entry: Entry }
  | { readonly kind: 'state'; readonly hardState: HardState }
  | { readonly kind: 'snapshot'; readonly position: LogPosition }
  | { readonly kind: 'reset'; readonly position: LogPosition }
  | { readonly kind: 'compact'; readonly position: LogPosition; readonly firstSegment: number }
  | { readonly kind: 'base'; readonly base: LogBase }
  | { readonly kind: 'seal'; readonly nextSegment: number }
  | { readonly kind: 'commit'; readonly batch: number; readonly offset: number };

/** What a frame is checked with: the chain so far, and the key of the log. */
export interface FrameSeal {
  readonly chain: number;
  readonly key: number;
}

/** A frame that was read: where the next begins, and the chain up to it. */
export interface FrameRead {
  readonly frame: Frame;
  readonly end: number;
  readonly chain: number;
}

/** Why bytes are no frame. `end` is that of the frame they claim to be, or of its header. */
export interface FrameDamage {
  readonly damage: string;
  readonly end: number;
}

export const frameHeaderBytes = 16;
const typeOf: { readonly [kind in Frame['kind']]: number } = {
  entry: 1,
  state: 2,
  snapshot: 3,
  reset: 4,
  compact: 5,
  base: 6,
  seal: 7,
  commit: 8,
};
const entryHeadBytes = 24;
const commitBodyBytes = 24;
/** What a commit ends in: not zeros, which would look like bytes never written. */
const commitEnd = 0x2164_6e65;
/** Bytes of a commit frame. */
export const commitFrameBytes: number = frameHeaderBytes + commitBodyBytes;

/** The key of a log: what its checksums are seeded with, so that another log's frames are none here. */
export function logKey(logId: number): number {
  const bytes = new Uint8Array(8);
  writeCount(viewOf(bytes), 0, logId);
  return crc32(bytes);
}

/** Bytes that a frame takes. */
export function frameBytes(frame: Frame): number {
  return frameHeaderBytes + roundUp(bodyBytes(frame), 8);
}

/**
 * Writes a frame into zeroed bytes at `offset`, which will stand in the file at `seal.base`, and returns the chain up to
 * its end.
 */
export function writeFrame(
  bytes: Uint8Array,
  offset: number,
  frame: Frame,
  seal: FrameSeal & { readonly base: number },
): number {
  const length = bodyBytes(frame);
  const view = viewOf(bytes);
  view.setUint32(offset, length, true);
  bytes[offset + 4] = typeOf[frame.kind];
  const body = offset + frameHeaderBytes;
  writeBody(bytes, body, frame, seal.key);
  const end = body + roundUp(length, 8);
  if (frame.kind !== 'commit') {
    const mask = maskFor(bytes, body, end, seal.base);
    bytes[offset + 5] = mask;
    applyMask(bytes, body, end, mask);
  }
  const chain = chainOf(bytes, offset, end, seal.chain);
  view.setUint32(offset + 8, chain, true);
  view.setUint32(offset + 12, crc32(bytes.subarray(offset, offset + 12), seal.key), true);
  return chain;
}

/** Reads the frame at `offset`. The data of an entry is copied: it does not keep the segment's bytes alive. */
export function readFrame(
  bytes: Uint8Array,
  offset: number,
  seal: FrameSeal,
): FrameRead | FrameDamage {
  const body = offset + frameHeaderBytes;
  if (body > bytes.length) return { damage: 'the file ends in a frame header', end: body };
  const view = viewOf(bytes);
  if (view.getUint32(offset + 12, true) !== crc32(bytes.subarray(offset, offset + 12), seal.key)) {
    return { damage: 'a frame header does not match its checksum', end: body };
  }
  const length = view.getUint32(offset, true);
  const end = body + roundUp(length, 8);
  if (end > bytes.length) return { damage: 'the file ends in a frame', end };
  const chain = chainOf(bytes, offset, end, seal.chain);
  if (chain !== view.getUint32(offset + 8, true)) {
    return { damage: 'a frame does not match its checksum or does not follow the one before', end };
  }
  const mask = bytes[offset + 5] as number;
  let content = bytes.subarray(body, body + length);
  if (mask !== 0) {
    content = new Uint8Array(content);
    applyMask(content, 0, length, mask);
  }
  const frame = readBody(content, bytes[offset + 4] as number);
  return frame === undefined
    ? { damage: 'a frame has no valid content', end }
    : { frame, end, chain };
}

/** The batch whose commit frame stands at `offset`, checked by itself: without the chain before it. */
export function commitAt(bytes: Uint8Array, offset: number, key: number): number | undefined {
  if (offset + commitFrameBytes > bytes.length) return undefined;
  if (bytes[offset + 4] !== typeOf.commit) return undefined;
  const view = viewOf(bytes);
  if (view.getUint32(offset, true) !== commitBodyBytes) return undefined;
  if (view.getUint32(offset + 12, true) !== crc32(bytes.subarray(offset, offset + 12), key)) {
    return undefined;
  }
  const body = offset + frameHeaderBytes;
  const fields = bytes.subarray(body, body + 16);
  if (view.getUint32(body + 16, true) !== crc32(fields, key)) return undefined;
  return readCount(view, body);
}

function chainOf(bytes: Uint8Array, offset: number, end: number, chain: number): number {
  const head = crc32(bytes.subarray(offset, offset + 8), chain);
  return crc32(bytes.subarray(offset + frameHeaderBytes, end), head);
}

function bodyBytes(frame: Frame): number {
  return frame.kind === 'entry'
    ? entryHeadBytes + frame.entry.data.length
    : frame.kind === 'commit'
      ? commitBodyBytes
      : countsOf(frame).length * 8;
}

function writeBody(bytes: Uint8Array, body: number, frame: Frame, key: number): void {
  const view = viewOf(bytes);
  if (frame.kind === 'entry') {
    const { index, term, type, data } = frame.entry;
    writeCount(view, body, index);
    writeCount(view, body + 8, term);
    bytes[body + 16] = type === 'normal' ? 1 : 2;
    bytes.set(data, body + entryHeadBytes);
    return;
  }
  for (const [at, count] of countsOf(frame).entries()) writeCount(view, body + at * 8, count);
  if (frame.kind === 'commit') {
    view.setUint32(body + 16, crc32(bytes.subarray(body, body + 16), key), true);
    view.setUint32(body + 20, commitEnd, true);
  }
}

/** The numbers a frame consists of, but for an entry. */
function countsOf(frame: Exclude<Frame, { kind: 'entry' }>): readonly number[] {
  switch (frame.kind) {
    case 'state':
      return [frame.hardState.term, frame.hardState.vote, frame.hardState.commit];
    case 'snapshot':
    case 'reset':
      return [frame.position.index, frame.position.term];
    case 'compact':
      return [frame.position.index, frame.position.term, frame.firstSegment];
    case 'base': {
      const { hardState, snapshot, compacted, firstSegment, last } = frame.base;
      const state = [hardState.term, hardState.vote, hardState.commit];
      const compact = [compacted.index, compacted.term, firstSegment];
      return [...state, snapshot.index, snapshot.term, ...compact, last.index, last.term];
    }
    case 'seal':
      return [frame.nextSegment];
    case 'commit':
      return [frame.batch, frame.offset];
    default:
      return unreachable(frame);
  }
}

function readBody(body: Uint8Array, type: number): Frame | undefined {
  if (type === typeOf.entry) return readEntry(body);
  const length = type === typeOf.commit ? 16 : body.length;
  const view = viewOf(body);
  const counts: number[] = [];
  for (let at = 0; at + 8 <= length; at += 8) {
    const count = readCount(view, at);
    if (count === undefined) return undefined;
    counts.push(count);
  }
  const [a = 0, b = 0, c = 0] = counts;
  const frame = frameOf(type, counts);
  if (frame === undefined || bodyBytes(frame) !== body.length) return undefined;
  return frame;

  function frameOf(code: number, all: readonly number[]): Frame | undefined {
    switch (code) {
      case typeOf.state:
        return { kind: 'state', hardState: { term: a, vote: b, commit: c } };
      case typeOf.snapshot:
        return { kind: 'snapshot', position: { index: a, term: b } };
      case typeOf.reset:
        return { kind: 'reset', position: { index: a, term: b } };
      case typeOf.compact:
        return { kind: 'compact', position: { index: a, term: b }, firstSegment: c };
      case typeOf.base:
        return readBase(all);
      case typeOf.seal:
        return { kind: 'seal', nextSegment: a };
      case typeOf.commit:
        return { kind: 'commit', batch: a, offset: b };
      default:
        return undefined;
    }
  }
}

function readBase(counts: readonly number[]): Frame {
  const at = (position: number): number => counts[position] ?? 0;
  return {
    kind: 'base',
    base: {
      hardState: { term: at(0), vote: at(1), commit: at(2) },
      snapshot: { index: at(3), term: at(4) },
      compacted: { index: at(5), term: at(6) },
      firstSegment: at(7),
      last: { index: at(8), term: at(9) },
    },
  };
}

function readEntry(body: Uint8Array): Frame | undefined {
  if (body.length < entryHeadBytes || body.length > entryHeadBytes + maxEntryBytes)
    return undefined;
  const view = viewOf(body);
  const index = readCount(view, 0);
  const term = readCount(view, 8);
  const code = body[16];
  if (index === undefined || term === undefined || (code !== 1 && code !== 2)) return undefined;
  const data = new Uint8Array(body.subarray(entryHeadBytes));
  return {
    kind: 'entry',
    entry: { index, term, type: code === 1 ? 'normal' : 'configuration', data },
  };
}
