// Numbers in little-endian order, as the files of this folder hold them.

import { assertCount } from '@etl-router/core';

/** Writes a count of up to 2^53 - 1 in 8 bytes. */
export function writeCount(bytes: DataView, offset: number, value: number): void {
  assertCount(value, 'a stored number');
  bytes.setUint32(offset, value % 0x1_0000_0000, true);
  bytes.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** Reads a count of 8 bytes; undefined when it is above 2^53 - 1. */
export function readCount(bytes: DataView, offset: number): number | undefined {
  const high = bytes.getUint32(offset + 4, true);
  if (high > 0x1f_ffff) return undefined;
  return high * 0x1_0000_0000 + bytes.getUint32(offset, true);
}

/** A view of the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The next multiple of `unit` from `value` on. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Whether all bytes from `start` up to but without `end` are zero. */
export function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** Bytes up to the last that is not zero. */
export function usedBytes(bytes: Uint8Array): number {
  let used = bytes.length;
  while (used > 0 && bytes[used - 1] === 0) used -= 1;
  return used;
}
