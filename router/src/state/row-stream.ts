// Rows one after the other as bytes, and back again, cut anywhere: what chunks of a restore and files of backups are
// made of. A row is the lengths of key and value, 4 bytes each in little-endian order, then both.

import { invalid } from './names.ts';

const headBytes = 8;
/** Key of a row of the state. */
export const maxRowKeyBytes: number = 64 * 1024;
/** Value of a row of the state. */
export const maxRowValueBytes: number = 16 * 1024 * 1024;

/** The lengths that stand before a row. */
export function encodeRowHead(key: Uint8Array, value: Uint8Array): Uint8Array {
  const head = new Uint8Array(headBytes);
  const view = new DataView(head.buffer);
  view.setUint32(0, key.length, true);
  view.setUint32(4, value.length, true);
  return head;
}

/** Takes bytes as they come and gives the rows that are whole. */
export class RowReader {
  #rest: Uint8Array = new Uint8Array();

  /** Bytes that wait for the rest of their row. */
  get pendingBytes(): number {
    return this.#rest.length;
  }

  /** The rows that end in `chunk`. Throws ETL_INVALID_ARGUMENT for lengths that no row has. */
  *read(chunk: Uint8Array): Generator<readonly [key: Uint8Array, value: Uint8Array]> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let at = 0;
    while (at + headBytes <= bytes.length) {
      const keyLength = view.getUint32(at, true);
      const valueLength = view.getUint32(at + 4, true);
      if (keyLength > maxRowKeyBytes || valueLength > maxRowValueBytes || keyLength === 0) {
        throw invalid('rows', `lengths ${keyLength} and ${valueLength} are those of no row`);
      }
      const key = at + headBytes;
      const value = key + keyLength;
      const end = value + valueLength;
      if (end > bytes.length) break;
      yield [bytes.subarray(key, value), bytes.subarray(value, end)];
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }

  /** Throws ETL_INVALID_ARGUMENT where the last row is not whole. */
  end(): void {
    if (this.#rest.length > 0) throw invalid('rows', 'the last one is not whole');
  }
}
