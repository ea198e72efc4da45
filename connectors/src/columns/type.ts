// The types of columns, under the names DuckDB gives them. The DuckDB sink and the CSV and Parquet formats of the file
// sink share them, so that one set of rules says which value fits which column.

/** Digits a second is counted in: 0, 3, 6 or 9. */
export type TimeDigits = 0 | 3 | 6 | 9;

/** What a column holds. */
export type ColumnType =
  | { readonly kind: 'boolean' }
  | {
      readonly kind: 'integer';
      readonly bits: 8 | 16 | 32 | 64 | 128;
      readonly signed: boolean;
    }
  | { readonly kind: 'float' }
  | { readonly kind: 'double' }
  | { readonly kind: 'decimal'; readonly width: number; readonly scale: number }
  | { readonly kind: 'text' }
  | { readonly kind: 'bytes' }
  | { readonly kind: 'date' }
  | { readonly kind: 'time' }
  | { readonly kind: 'timestamp'; readonly digits: TimeDigits; readonly zoned: boolean }
  | { readonly kind: 'uuid' }
  | { readonly kind: 'json' };

const integer = (bits: 8 | 16 | 32 | 64 | 128, signed: boolean): ColumnType => ({
  kind: 'integer',
  bits,
  signed,
});
const timestamp = (digits: TimeDigits, zoned = false): ColumnType => ({
  kind: 'timestamp',
  digits,
  zoned,
});

/** Every name a type goes by; the first of equals is the one that is printed. */
const typesByName: ReadonlyMap<string, ColumnType> = new Map<string, ColumnType>([
  ['BOOLEAN', { kind: 'boolean' }],
  ['BOOL', { kind: 'boolean' }],
  ['TINYINT', integer(8, true)],
  ['SMALLINT', integer(16, true)],
  ['INTEGER', integer(32, true)],
  ['INT', integer(32, true)],
  ['BIGINT', integer(64, true)],
  ['HUGEINT', integer(128, true)],
  ['UTINYINT', integer(8, false)],
  ['USMALLINT', integer(16, false)],
  ['UINTEGER', integer(32, false)],
  ['UBIGINT', integer(64, false)],
  ['UHUGEINT', integer(128, false)],
  ['FLOAT', { kind: 'float' }],
  ['REAL', { kind: 'float' }],
  ['DOUBLE', { kind: 'double' }],
  ['VARCHAR', { kind: 'text' }],
  ['TEXT', { kind: 'text' }],
  ['STRING', { kind: 'text' }],
  ['BLOB', { kind: 'bytes' }],
  ['DATE', { kind: 'date' }],
  ['TIME', { kind: 'time' }],
  ['TIMESTAMP', timestamp(6)],
  ['TIMESTAMP_S', timestamp(0)],
  ['TIMESTAMP_MS', timestamp(3)],
  ['TIMESTAMP_NS', timestamp(9)],
  ['TIMESTAMPTZ', timestamp(6, true)],
  ['TIMESTAMP WITH TIME ZONE', timestamp(6, true)],
  ['UUID', { kind: 'uuid' }],
  ['JSON', { kind: 'json' }],
]);

const decimalPattern = /^(?:DECIMAL|NUMERIC)(?:\((\d{1,2})(?:,(\d{1,2}))?\))?$/;

/** The names of all types, for messages and documentation. */
export const columnTypeNames: readonly string[] = [...typesByName.keys(), 'DECIMAL(width,scale)'];

/** The type of that name, in any case; undefined when there is none. */
export function findColumnType(name: string): ColumnType | undefined {
  const plain = name.trim().toUpperCase().replace(/\s+/g, ' ');
  const found = typesByName.get(plain);
  if (found !== undefined) return found;
  const decimal = decimalPattern.exec(plain.replaceAll(' ', ''));
  if (decimal === null) return undefined;
  const width = decimal[1] === undefined ? 18 : Number(decimal[1]);
  const scale = decimal[2] === undefined ? (decimal[1] === undefined ? 3 : 0) : Number(decimal[2]);
  return width >= 1 && width <= 38 && scale <= width
    ? { kind: 'decimal', width, scale }
    : undefined;
}

/** The name of a type, as DuckDB prints it but for TIMESTAMPTZ. */
export function formatColumnType(type: ColumnType): string {
  if (type.kind === 'decimal') return `DECIMAL(${type.width},${type.scale})`;
  for (const [name, known] of typesByName) {
    if (isSameType(known, type)) return name;
  }
  return 'JSON';
}

/** Whether two types are the same. */
export function isSameType(a: ColumnType, b: ColumnType): boolean {
  if (a.kind === 'integer' && b.kind === 'integer') {
    return a.bits === b.bits && a.signed === b.signed;
  }
  if (a.kind === 'decimal' && b.kind === 'decimal') {
    return a.width === b.width && a.scale === b.scale;
  }
  if (a.kind === 'timestamp' && b.kind === 'timestamp') {
    return a.digits === b.digits && a.zoned === b.zoned;
  }
  return a.kind === b.kind;
}
