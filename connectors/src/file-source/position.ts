// Where a record of a file is, as bytes whose order is the order of reading. Layout, big-endian:
//   0 generation (u32)  4 offset (u64)  12 mark (u32)
// The generation counts the files that followed one another under one name. The offset is the end of the record in the
// decompressed stream, or the number of a Parquet row. The mark tells the file from another one of the same name.

import { crc32 } from 'node:zlib';

/** Bytes at the start of a file of lines that its mark is made of. */
export const headBytes = 1024;

/** Bytes of a position. */
export const positionBytes = 16;

export interface FilePosition {
  readonly generation: number;
  readonly offset: number;
  /** CRC-32 of the first {@link headBytes} bytes before the offset; of the footer, where it is a Parquet file. */
  readonly mark: number;
}

/** Reads a position; undefined when it is none of a file. */
export function parseFilePosition(bytes: Uint8Array): FilePosition | undefined {
  if (bytes.length !== positionBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, positionBytes);
  const offset = view.getUint32(4) * 0x1_0000_0000 + view.getUint32(8);
  if (!Number.isSafeInteger(offset)) return undefined;
  return { generation: view.getUint32(0), offset, mark: view.getUint32(12) };
}

/** Writes a position over the bytes of the one before. */
export class PositionWriter {
  readonly bytes: Buffer = Buffer.alloc(positionBytes);

  constructor(generation: number) {
    this.bytes.writeUInt32BE(generation, 0);
  }

  set(offset: number, mark: number): Buffer {
    const { bytes } = this;
    bytes.writeUInt32BE(Math.floor(offset / 0x1_0000_0000), 4);
    bytes.writeUInt32BE(offset >>> 0, 8);
    bytes.writeUInt32BE(mark, 12);
    return bytes;
  }
}

/** The mark of bytes that come after those of `mark`. */
export function extendMark(mark: number, bytes: Uint8Array): number {
  return crc32(bytes, mark);
}
