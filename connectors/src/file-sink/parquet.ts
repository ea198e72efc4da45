// Rows as row groups of a Parquet file, one a write, and the footer that makes them a file. What the footer needs of
// the row groups before is handed out with each of them and taken back when a file goes on after a crash.

import { deserialize, serialize } from 'node:v8';
import type { RowGroup, SchemaElement } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { Cell } from '../columns/convert.ts';
import type { Column, Rows } from '../columns/table.ts';
import type { ColumnType } from '../columns/type.ts';

interface ParquetColumn {
  readonly element: SchemaElement;
  /** False where the writer would order the values otherwise than readers expect. */
  readonly statistics: boolean;
  /** Undefined: the cell is the value. */
  readonly toValue: ((cell: Cell) => Cell) | undefined;
}

/** A Parquet file in the making. After an error of any kind it is void. */
export class ParquetFile {
  readonly #columns: readonly Column[];
  readonly #parquet: readonly ParquetColumn[];
  readonly #bytes: ByteWriter;
  readonly #writer: ParquetWriter;

  /** A new file, or one that goes on at `length` behind `rowGroups`. */
  constructor(columns: readonly Column[], length: number, rowGroups: readonly string[]) {
    this.#columns = columns;
    this.#parquet = columns.map(({ name, type }) => parquetColumn(name, type));
    const root: SchemaElement = { name: 'schema', num_children: columns.length };
    this.#bytes = new ByteWriter(64 * 1024);
    this.#writer = new ParquetWriter({
      writer: this.#bytes,
      schema: [root, ...this.#parquet.map(({ element }) => element)],
      createdBy: 'etl-router',
    });
    if (length === 0) return;
    this.#bytes.index = 0;
    this.#bytes.offset = length;
    this.#writer.row_groups = rowGroups.map(
      (group) => deserialize(Buffer.from(group, 'base64')) as RowGroup,
    );
    for (const { num_rows } of this.#writer.row_groups) this.#writer.num_rows += num_rows;
  }

  /** Row groups so far. */
  get groups(): number {
    return this.#writer.row_groups.length;
  }

  /** The bytes that follow in the file, and what the footer will need of them. */
  append(rows: Rows): { readonly bytes: Buffer; readonly rowGroup: string } {
    const columnData = this.#parquet.map(({ statistics, toValue }, index) => {
      const cells = rows.cells[index] as readonly (Cell | null)[];
      return {
        name: (this.#columns[index] as Column).name,
        data:
          toValue === undefined
            ? (cells as (Cell | null)[])
            : cells.map((cell) => (cell === null ? null : toValue(cell))),
        statistics,
        offsetIndex: false,
      };
    });
    void this.#writer.write({ columnData, rowGroupSize: rows.records.length });
    this.#writer.pendingIndexes = [];
    const rowGroup = serialize(this.#writer.row_groups.at(-1)).toString('base64');
    return { bytes: this.#take(), rowGroup };
  }

  /**
   * The footer; nothing follows it. JSON columns get their older mark only here: older readers know no other, but
   * under it the writer would encode their texts a second time.
   */
  finish(): Buffer {
    this.#writer.schema = this.#writer.schema.map((element) =>
      element.logical_type?.type === 'JSON' ? { ...element, converted_type: 'JSON' } : element,
    );
    void this.#writer.finish();
    return this.#take();
  }

  #take(): Buffer {
    const bytes = Buffer.from(this.#bytes.getBytes());
    this.#bytes.index = 0;
    return bytes;
  }
}

type Element = Omit<SchemaElement, 'name' | 'repetition_type'>;

function parquetColumn(name: string, type: ColumnType): ParquetColumn {
  const { element, statistics = true, toValue } = kindOf(type);
  return {
    element: { ...element, name, repetition_type: 'OPTIONAL' },
    statistics,
    toValue,
  };
}

interface ParquetKind {
  readonly element: Element;
  readonly statistics?: boolean;
  readonly toValue?: (cell: Cell) => Cell;
}

function kindOf(type: ColumnType): ParquetKind {
  switch (type.kind) {
    case 'boolean':
      return { element: { type: 'BOOLEAN' } };
    case 'integer':
      return integerKind(type.bits, type.signed);
    case 'float':
      return { element: { type: 'FLOAT' } };
    case 'double':
      return { element: { type: 'DOUBLE' } };
    case 'decimal':
      return decimalKind(type.width, type.scale);
    case 'text':
      return { element: { type: 'BYTE_ARRAY', converted_type: 'UTF8' } };
    case 'bytes':
      return { element: { type: 'BYTE_ARRAY' } };
    case 'json':
      return { element: { type: 'BYTE_ARRAY', logical_type: { type: 'JSON' } }, statistics: false };
    case 'date':
      return { element: { type: 'INT32', converted_type: 'DATE' } };
    case 'time':
      return {
        element: {
          type: 'INT64',
          logical_type: { type: 'TIME', isAdjustedToUTC: false, unit: 'MICROS' },
        },
      };
    case 'timestamp':
      return timestampKind(type.digits, type.zoned);
    case 'uuid':
      return {
        element: { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 16, logical_type: { type: 'UUID' } },
        statistics: false,
      };
  }
}

/** Integers wider than 64 bits have no type of their own in Parquet and are written as text. */
function integerKind(bits: number, signed: boolean): ParquetKind {
  if (bits === 128) {
    return {
      element: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
      statistics: false,
      toValue: String,
    };
  }
  if (bits === 64) {
    return signed
      ? { element: { type: 'INT64' } }
      : {
          element: { type: 'INT64', converted_type: 'UINT_64' },
          statistics: false,
          toValue: (cell) => cell,
        };
  }
  if (bits === 32) {
    return signed
      ? { element: { type: 'INT32' } }
      : { element: { type: 'INT64' }, toValue: (cell) => BigInt(cell as number) };
  }
  const converted = `${signed ? 'INT' : 'UINT'}_${bits as 8 | 16}` as const;
  return { element: { type: 'INT32', converted_type: converted } };
}

function decimalKind(width: number, scale: number): ParquetKind {
  const shape = { converted_type: 'DECIMAL', precision: width, scale } as const;
  return width <= 18
    ? { element: { type: 'INT64', ...shape } }
    : {
        element: { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 16, ...shape },
        statistics: false,
      };
}

function timestampKind(digits: 0 | 3 | 6 | 9, zoned: boolean): ParquetKind {
  const unit = digits === 9 ? 'NANOS' : digits === 6 ? 'MICROS' : 'MILLIS';
  const element: Element = {
    type: 'INT64',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: zoned, unit },
  };
  return digits === 0 ? { element, toValue: (cell) => (cell as bigint) * 1000n } : { element };
}
