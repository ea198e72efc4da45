// Tells a torn tail, which a crash may leave and which nobody was promised, from damage to what was durable. In doubt
// between the two the answer is damage wherever the disk can not have done it by tearing.

import { isZero, usedBytes } from './bytes.ts';
import { commitAt, commitFrameBytes } from './frames.ts';
import { sectorBytes } from './mask.ts';
import type { SegmentScan } from './segment.ts';

/** Why the last segment, as far as it is used, can not have come about by a crash; undefined when it can. */
export function damageOfLast(
  bytes: Uint8Array,
  scan: SegmentScan,
  key: number,
): { readonly offset: number; readonly what: string } | undefined {
  if (scan.damage === undefined) return undefined;
  const { offset, end, what } = scan.damage;
  const later = laterBatch(bytes, scan, key);
  if (later !== undefined) return { offset, what: `${what}; batch ${later} behind it is whole` };
  // A whole batch ends in a byte that is not zero.
  const cutShort = usedBytes(bytes) < end;
  return cutShort || hasZeroSector(bytes, offset, end) ? undefined : { offset, what };
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
