// Tells a torn tail, which a crash may leave and which nobody was promised, from damage to what was durable. In doubt
// between the two the answer is damage wherever the disk can not have done it by tearing.

import { isZero } from './bytes.ts';
import { commitAt, commitFrameBytes } from './frames.ts';
import type { SegmentHeader, SegmentScan } from './segment.ts';

/** The unit that disks write whole or not at all. */
const sectorBytes = 512;

/** Why the last segment can not have come about by a crash; undefined when it can. */
export function damageOfLast(
  bytes: Uint8Array,
  header: SegmentHeader,
  scan: SegmentScan,
  key: number,
): { readonly offset: number; readonly what: string } | undefined {
  const { damage } = scan;
  if (damage !== undefined) {
    const { offset, end, what } = damage;
    const later = laterBatch(bytes, scan, key);
    if (later !== undefined) return { offset, what: `${what}; batch ${later} behind it is whole` };
    const cutShort = usedBytes(bytes) < end;
    if (!cutShort && !hasZeroSector(bytes, offset, end)) return { offset, what };
  }
  return damageOfSize(bytes.length, header, scan);
}

/** Bytes up to the last that is not zero. A whole batch ends in one. */
export function usedBytes(bytes: Uint8Array): number {
  let used = bytes.length;
  while (used > 0 && bytes[used - 1] === 0) used -= 1;
  return used;
}

/** A batch behind the damage whose commit frame stands: the damaged one was synced before it was written. */
function laterBatch(bytes: Uint8Array, scan: SegmentScan, key: number): number | undefined {
  for (let at = scan.end; at + commitFrameBytes <= bytes.length; at += 8) {
    const batch = commitAt(bytes, at, key);
    if (batch !== undefined && batch > scan.batch) return batch;
  }
  return undefined;
}

/** Whether a sector's share of the frame is all zeros: then that sector may never have been written. */
function hasZeroSector(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; ) {
    const next = Math.min(end, at - (at % sectorBytes) + sectorBytes);
    if (isZero(bytes, at, next)) return true;
    at = next;
  }
  return false;
}

/** Files grow by whole allocations; only the batch that makes one grow can leave a broken size. */
function damageOfSize(
  size: number,
  header: SegmentHeader,
  scan: SegmentScan,
): { readonly offset: number; readonly what: string } | undefined {
  const beyond = size % header.allocateBytes;
  if (beyond === 0) return undefined;
  const lastBegan = scan.damage === undefined ? scan.lastBatchOffset : scan.end;
  if (lastBegan <= size - beyond) return undefined;
  return { offset: size, what: 'the file is shorter than it was made' };
}
