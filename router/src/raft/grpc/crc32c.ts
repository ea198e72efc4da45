// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of the chunks of a snapshot; what node:zlib has is another polynomial.

const table: Int32Array = makeTable();

/** The checksum of `bytes`, 0 to 2^32 - 1. */
export function crc32c(bytes: Uint8Array): number {
  let crc = -1;
  for (let at = 0; at < bytes.length; at++) {
    crc = (table[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

function makeTable(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
    return crc;
  });
}
