// Where a record stands in its partition. A position is bytes whose byte order is the order of the records; most sources
// count or have a sorted name, and need not think of bytes.

import { countOfPosition, EtlError, positionOfCount } from '@etl-router/core';

const positionMaxBytes = 256;

/** A count (0 to 2^53 - 1), a text whose UTF-8 sorts as the records do, or bytes that do. 1 to 256 bytes. */
export type PositionValue = number | bigint | string | Uint8Array | Position;

/** A position that was given out before. */
export class Position {
  /** 1 to 256 bytes. */
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** The count it was made of. Throws ETL_INVALID_ARGUMENT when it was made of none. */
  toNumber(): number {
    const count = countOfPosition(this.bytes);
    if (count !== undefined) return count;
    throw new EtlError('ETL_INVALID_ARGUMENT', 'the position is no count this source gave out');
  }

  /** The text it was made of. */
  toText(): string {
    return Buffer.from(this.bytes).toString();
  }
}

/** The bytes of a position. Throws ETL_CONNECTOR_FAILED, not retryable, for what can be none; `where` says whose it is. */
export function toPositionBytes(value: PositionValue, where: string): Uint8Array {
  const bytes = encode(value);
  if (bytes !== undefined && bytes.length > 0 && bytes.length <= positionMaxBytes) return bytes;
  const what =
    bytes === undefined
      ? `${typeof value === 'number' || typeof value === 'bigint' ? value : typeof value}`
      : `${bytes.length} bytes`;
  throw new EtlError(
    'ETL_CONNECTOR_FAILED',
    `${where} gave the position ${what}; it takes a whole number of 0 to 2^53 - 1, or text or bytes of 1 to ${positionMaxBytes}`,
    { retryable: false },
  );
}

function encode(value: PositionValue): Uint8Array | undefined {
  if (value instanceof Position) return value.bytes;
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return Buffer.from(value);
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  const count = Number(value);
  return Number.isSafeInteger(count) && count >= 0 ? positionOfCount(count) : undefined;
}
