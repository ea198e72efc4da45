// Cells to DuckDB's vectors: the only place that knows both forms.

import {
  BIGINT,
  BLOB,
  BOOLEAN,
  DATE,
  DECIMAL,
  DOUBLE,
  DuckDBBlobValue,
  DuckDBDataChunk,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  type DuckDBType,
  type DuckDBValue,
  FLOAT,
  HUGEINT,
  INTEGER,
  SMALLINT,
  TIME,
  TIMESTAMP,
  TIMESTAMP_MS,
  TIMESTAMP_NS,
  TIMESTAMP_S,
  TIMESTAMPTZ,
  TINYINT,
  UBIGINT,
  UHUGEINT,
  UINTEGER,
  USMALLINT,
  UTINYINT,
  UUID,
  uuidValue,
  VARCHAR,
} from '@duckdb/node-api';
import type { Cell } from '../columns/convert.ts';
import type { ColumnType } from '../columns/type.ts';

/** Rows that one chunk holds: DuckDB's own bound. */
export const chunkRows = 2048;

type ToValue = (cell: Cell) => DuckDBValue;

interface VectorKind {
  readonly type: DuckDBType;
  /** Undefined: the cell is the value. */
  readonly toValue: ToValue | undefined;
}

const signed = { 8: TINYINT, 16: SMALLINT, 32: INTEGER, 64: BIGINT, 128: HUGEINT } as const;
const unsigned = { 8: UTINYINT, 16: USMALLINT, 32: UINTEGER, 64: UBIGINT, 128: UHUGEINT } as const;

function vectorKind(type: ColumnType): VectorKind {
  switch (type.kind) {
    case 'boolean':
      return plain(BOOLEAN);
    case 'integer':
      return plain(type.signed ? signed[type.bits] : unsigned[type.bits]);
    case 'float':
      return plain(FLOAT);
    case 'double':
      return plain(DOUBLE);
    case 'decimal': {
      const { width, scale } = type;
      return {
        type: DECIMAL(width, scale),
        toValue: (cell) => new DuckDBDecimalValue(cell as bigint, width, scale),
      };
    }
    case 'text':
    case 'json':
      return plain(VARCHAR);
    case 'bytes':
      return { type: BLOB, toValue: (cell) => new DuckDBBlobValue(cell as Uint8Array) };
    case 'date':
      return { type: DATE, toValue: (cell) => new DuckDBDateValue(cell as number) };
    case 'time':
      return { type: TIME, toValue: (cell) => new DuckDBTimeValue(cell as bigint) };
    case 'timestamp':
      return type.zoned
        ? { type: TIMESTAMPTZ, toValue: (cell) => new DuckDBTimestampTZValue(cell as bigint) }
        : timestampKinds[type.digits];
    case 'uuid':
      return {
        type: UUID,
        toValue: (cell) => uuidValue(BigInt(`0x${(cell as string).replaceAll('-', '')}`)),
      };
  }
}

const timestampKinds: { readonly [Digits in 0 | 3 | 6 | 9]: VectorKind } = {
  0: { type: TIMESTAMP_S, toValue: (cell) => new DuckDBTimestampSecondsValue(cell as bigint) },
  3: {
    type: TIMESTAMP_MS,
    toValue: (cell) => new DuckDBTimestampMillisecondsValue(cell as bigint),
  },
  6: { type: TIMESTAMP, toValue: (cell) => new DuckDBTimestampValue(cell as bigint) },
  9: { type: TIMESTAMP_NS, toValue: (cell) => new DuckDBTimestampNanosecondsValue(cell as bigint) },
};

function plain(type: DuckDBType): VectorKind {
  return { type, toValue: undefined };
}

/**
 * Turns columns of cells into chunks. It fills one chunk again and again: each holds megabytes that JavaScript does
 * not see and would not free in time. So a chunk is void once the next one is asked for.
 */
export class ChunkWriter {
  readonly #kinds: readonly VectorKind[];
  readonly #chunk: DuckDBDataChunk;

  constructor(types: readonly ColumnType[]) {
    this.#kinds = types.map(vectorKind);
    this.#chunk = DuckDBDataChunk.create(this.#kinds.map(({ type }) => type));
  }

  /** All rows of `cells` (column by column), {@link chunkRows} at a time. */
  *chunks(cells: readonly (readonly (Cell | null)[])[]): Generator<DuckDBDataChunk> {
    const count = cells[0]?.length ?? 0;
    for (let from = 0; from < count; from += chunkRows) {
      this.#chunk.reset();
      this.#chunk.rowCount = Math.min(chunkRows, count - from);
      for (let column = 0; column < this.#kinds.length; column++) {
        this.#fill(column, cells[column] as readonly (Cell | null)[], from);
      }
      yield this.#chunk;
    }
  }

  #fill(column: number, cells: readonly (Cell | null)[], from: number): void {
    const { toValue } = this.#kinds[column] as VectorKind;
    const vector = this.#chunk.getColumnVector(column);
    const rows = this.#chunk.rowCount;
    if (toValue === undefined) {
      for (let row = 0; row < rows; row++) vector.setItem(row, cells[from + row] as DuckDBValue);
    } else {
      for (let row = 0; row < rows; row++) {
        const cell = cells[from + row] as Cell | null;
        vector.setItem(row, cell === null ? null : toValue(cell));
      }
    }
    vector.flush();
  }
}
