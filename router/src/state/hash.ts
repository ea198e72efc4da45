// A hash to recognise a retried command by. Not for adversaries: a client can only confuse its own session.

const offsetBasis = { high: 0xcbf29ce4, low: 0x84222325 } as const;

/** The 64-bit FNV-1a hash of the bytes. */
export function hash64(bytes: Uint8Array): bigint {
  let high: number = offsetBasis.high;
  let low: number = offsetBasis.low;
  for (const byte of bytes) {
    low = (low ^ byte) >>> 0;
    // The prime is 2^40 + 0x1b3: the first term shifts the low half into the high one.
    const product = low * 0x1b3;
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 0x1_0000_0000) + (low << 8)) >>> 0;
    low = product >>> 0;
  }
  return (BigInt(high) << 32n) | BigInt(low);
}
