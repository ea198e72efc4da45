// Keeps what is written apart from what was never written. A sector that a crash kept from the disk holds zeros, so a
// frame must have none of its own: bytes of one that would fill its share of a sector with zeros are changed by a mask.

/** The unit that disks write whole or not at all. */
export const sectorBytes = 512;

/**
 * The byte to change all bytes from `start` up to `end` with, so that none of their sectors' shares is all zeros; 0
 * where nothing has to change. `base` is where byte 0 will stand in the file.
 */
export function maskFor(bytes: Uint8Array, start: number, end: number, base: number): number {
  let taken: Set<number> | undefined;
  for (let at = start; at < end; ) {
    const next = Math.min(end, at + sectorBytes - ((base + at) % sectorBytes));
    const value = soleByte(bytes, at, next);
    if (value !== undefined) {
      taken ??= new Set();
      taken.add(value);
    }
    at = next;
  }
  if (taken?.has(0) !== true) return 0;
  for (let mask = 0xa5; mask < 0xa5 + 256; mask++) {
    if (!taken.has(mask & 0xff)) return mask & 0xff;
  }
  return 0;
}

/** Changes bytes by a mask, or back. */
export function applyMask(bytes: Uint8Array, start: number, end: number, mask: number): void {
  if (mask === 0) return;
  for (let at = start; at < end; at++) bytes[at] = (bytes[at] as number) ^ mask;
}

/** The value that all of some bytes have. */
function soleByte(bytes: Uint8Array, start: number, end: number): number | undefined {
  const value = bytes[start];
  for (let at = start + 1; at < end; at++) if (bytes[at] !== value) return undefined;
  return value;
}
