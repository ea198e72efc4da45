// Values of Parquet columns as JSON text, by the type that the file's schema gives them. Nothing is rounded: integers and
// decimals keep all digits, times all their precision. The library is told that columns have no such types, so that it
// hands over what the file has; what has no JSON form becomes text that says the same, or base64.

import { parseJson, stringifyJsonText } from '@etl-router/core';
import {
  type FileMetaData,
  type ParquetParsers,
  parquetSchema,
  type SchemaElement,
  type SchemaTree,
} from 'hyparquet';

/** The JSON text of a value of a column; `null` and `undefined` are `null`. */
export type Render = (value: unknown) => string;

/** A top-level column. */
export interface ParquetColumn {
  readonly name: string;
  /** Its values come one by one through {@link valueParsers} while they are decoded. */
  readonly isParsed: boolean;
  readonly render: Render;
}

/** The top-level columns, in the order of the schema. */
export function columnsOf(metadata: FileMetaData): readonly ParquetColumn[] {
  const { children } = parquetSchema(metadata);
  const names = children.map(({ element }) => element.name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined)
    throw new Error(`it has two columns named ${JSON.stringify(repeated)}`);
  for (const node of children) assertReadable(node);
  return children.map((node) => ({
    name: node.element.name,
    isParsed: isParsed(node),
    render: rendererOf(node),
  }));
}

/** The library sets members by assignment, which loses this name. */
function assertReadable({ element, children }: SchemaTree): void {
  for (const child of children) {
    if (child.element.name === '__proto__')
      throw new Error(`column ${JSON.stringify(element.name)} has a member named __proto__`);
    assertReadable(child);
  }
}

/**
 * The metadata with types that make the library hand over what the file has: none where it would round, and the one whose
 * parser it calls with the bare value for columns that {@link valueParsers} takes.
 */
export function withBareTypes(metadata: FileMetaData): FileMetaData {
  const parsed = new Set(
    parquetSchema(metadata)
      .children.filter(isParsed)
      .map(({ element }) => element),
  );
  const toBare = (element: SchemaElement): SchemaElement => {
    const { converted_type: converted, logical_type: logical, ...rest } = element;
    if (parsed.has(element))
      return {
        ...rest,
        logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
      };
    return bareTypes.has(converted) || bareTypes.has(logical?.type) ? rest : element;
  };
  return { ...metadata, schema: metadata.schema.map(toBare) };
}

/** What the library calls for each value, or for each entry of a dictionary. */
export function valueParsers(parse: (value: unknown) => unknown): Partial<ParquetParsers> {
  return {
    timestampFromMicroseconds: parse,
    timestampFromNanoseconds: parse,
    jsonFromBytes: (bytes) => bytes,
  } as Partial<ParquetParsers>;
}

/** Types that are rendered here, converted ones and logical ones. */
const bareTypes: ReadonlySet<string | undefined> = new Set(
  'DATE DECIMAL BSON INTERVAL TIME TIME_MILLIS TIME_MICROS TIMESTAMP TIMESTAMP_MILLIS TIMESTAMP_MICROS'.split(
    ' ',
  ),
);
/** Types that the library has to make sense of. */
const libraryTypes: ReadonlySet<string | undefined> = new Set(
  'UINT_8 UINT_16 UINT_32 UINT_64 INTEGER GEOMETRY GEOGRAPHY'.split(' '),
);

function isParsed({ element, children }: SchemaTree): boolean {
  const {
    type,
    converted_type: converted,
    logical_type: logical,
    repetition_type: repetition,
  } = element;
  return (
    children.length === 0 &&
    repetition !== 'REPEATED' &&
    (type === 'INT32' || type === 'INT64' || type === 'INT96' || type === 'BYTE_ARRAY') &&
    !libraryTypes.has(converted) &&
    !libraryTypes.has(logical?.type)
  );
}

function rendererOf(node: SchemaTree): Render {
  const one = isList(node) ? renderList(elementOf(node)) : rendererOfOne(node);
  const render = node.element.repetition_type === 'REPEATED' ? renderList(one) : one;
  return (value) => (value === null || value === undefined ? 'null' : render(value));
}

function rendererOfOne(node: SchemaTree): Render {
  if (node.children.length === 0) return leafRenderer(node.element);
  if (node.element.logical_type?.type === 'VARIANT') return renderOther;
  const entries = node.children[0] as SchemaTree;
  if (node.element.converted_type === 'MAP' && entries.children.length === 2) {
    const renderValue = rendererOf(entries.children[1] as SchemaTree);
    return renderMembers(() => renderValue);
  }
  const members = new Map(node.children.map((child) => [child.element.name, rendererOf(child)]));
  return renderMembers((name) => members.get(name) ?? renderOther);
}

/** Lists as the library sees them: one repeated child, with one child of its own or none. */
function isList({ element, children }: SchemaTree): boolean {
  const repeated = children[0];
  return (
    element.converted_type === 'LIST' &&
    children.length === 1 &&
    repeated !== undefined &&
    repeated.children.length <= 1 &&
    repeated.element.repetition_type === 'REPEATED'
  );
}

function elementOf({ children }: SchemaTree): Render {
  const repeated = children[0] as SchemaTree;
  const inner = repeated.children[0];
  return inner === undefined ? leafRenderer(repeated.element) : rendererOf(inner);
}

function renderList(render: Render): Render {
  return (value) => {
    if (!Array.isArray(value)) return renderOther(value);
    return `[${value.map((item) => (item === null || item === undefined ? 'null' : render(item))).join(',')}]`;
  };
}

function renderMembers(of: (name: string) => Render): Render {
  return (value) => {
    const entries = Object.entries(value as object);
    return `{${entries.map(([name, member]) => `${JSON.stringify(name)}:${of(name)(member)}`).join(',')}}`;
  };
}

/** Digits of a second that a time unit has. */
const digitsOf = { MILLIS: 3, MICROS: 6, NANOS: 9 } as const;
type Digits = 3 | 6 | 9;

function leafRenderer(element: SchemaElement): Render {
  const { logical_type: logical, converted_type: converted, type } = element;
  if (logical?.type === 'TIMESTAMP') {
    const zone = logical.isAdjustedToUTC ? 'Z' : '';
    return (value) => renderInstant(value, digitsOf[logical.unit], zone);
  }
  if (logical?.type === 'TIME') return (value) => renderClock(value, digitsOf[logical.unit]);
  if (converted === 'TIMESTAMP_MILLIS') return (value) => renderInstant(value, 3, 'Z');
  if (converted === 'TIMESTAMP_MICROS') return (value) => renderInstant(value, 6, 'Z');
  if (converted === 'TIME_MILLIS') return (value) => renderClock(value, 3);
  if (converted === 'TIME_MICROS') return (value) => renderClock(value, 6);
  if (type === 'INT96') return (value) => renderInstant(value, 9, '');
  if (converted === 'DATE' || logical?.type === 'DATE') return renderDate;
  if (converted === 'DECIMAL' || logical?.type === 'DECIMAL')
    return (value) => renderDecimal(value, element.scale ?? 0);
  if (converted === 'JSON' || logical?.type === 'JSON') return renderJson;
  if (converted === 'UTF8' || converted === 'ENUM' || logical?.type === 'STRING') return renderText;
  if (type === 'INT64' || type === 'INT32' || type === 'BOOLEAN') return String;
  return type === 'FLOAT' || type === 'DOUBLE' ? renderFloat : renderOther;
}

/** JSON has no word for numbers that are none: they become the texts that say so. */
function renderFloat(value: unknown): string {
  return Number.isFinite(value) ? JSON.stringify(value) : `"${String(value)}"`;
}

function renderText(value: unknown): string {
  if (!(value instanceof Uint8Array)) return JSON.stringify(value);
  return JSON.stringify(Buffer.from(value.buffer, value.byteOffset, value.length).toString('utf8'));
}

const digits = /^(-?)(\d+)$/;

/** A decimal with all its digits, as text: whoever reads a JSON number may round it. */
function renderDecimal(value: unknown, scale: number): string {
  const unscaled = value instanceof Uint8Array ? toInteger(value) : BigInt(value as bigint);
  const [, sign = '', whole = ''] = digits.exec(String(unscaled)) ?? [];
  if (scale <= 0) return `"${sign}${whole === '0' ? whole : whole + '0'.repeat(-scale)}"`;
  const padded = whole.padStart(scale + 1, '0');
  return `"${sign}${padded.slice(0, -scale)}.${padded.slice(-scale)}"`;
}

/** A two's complement integer, most significant byte first. */
function toInteger(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n;
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${Buffer.from(bytes).toString('hex')}`));
}

/** JSON that stands in a column as text stays as it is; what only claims to be JSON stays text. */
function renderJson(value: unknown): string {
  if (!(value instanceof Uint8Array)) return renderOther(value);
  const bytes = Buffer.from(value);
  try {
    return stringifyJsonText(parseJson(bytes));
  } catch {
    return JSON.stringify(bytes.toString('utf8'));
  }
}

const twoDigits = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));
const secondsPerDay = 86_400;
/** Days since 1970 that four digits of a year can say: 0000-01-01 to 9999-12-31. */
const dayMin = -719_528;
const dayMax = 2_932_896;

/** Whole seconds and the rest, in ticks of which a second has 10 to the power of `digitCount`. */
function splitTicks(
  value: unknown,
  digitCount: Digits,
): { readonly seconds: number; readonly fraction: number } {
  const perSecond = 10 ** digitCount;
  const ticks = Number(value);
  if (Number.isSafeInteger(ticks)) {
    const seconds = Math.floor(ticks / perSecond);
    return { seconds, fraction: ticks - seconds * perSecond };
  }
  const exact = BigInt(value as bigint);
  const size = BigInt(perSecond);
  const rest = ((exact % size) + size) % size;
  return { seconds: Number((exact - rest) / size), fraction: Number(rest) };
}

/** RFC 3339, without a zone where the column has local time. Years beyond 9999 stay the number they are in the file. */
function renderInstant(value: unknown, digitCount: Digits, zone: string): string {
  const { seconds, fraction } = splitTicks(value, digitCount);
  const day = Math.floor(seconds / secondsPerDay);
  if (day < dayMin || day > dayMax) return String(value);
  const clock = clockText(seconds - day * secondsPerDay, fraction, digitCount);
  return `"${dayText(day)}T${clock}${zone}"`;
}

function renderClock(value: unknown, digitCount: Digits): string {
  const { seconds, fraction } = splitTicks(value, digitCount);
  if (seconds < 0 || seconds >= secondsPerDay) return String(value);
  return `"${clockText(seconds, fraction, digitCount)}"`;
}

function renderDate(value: unknown): string {
  const day = Number(value);
  return day < dayMin || day > dayMax ? String(day) : `"${dayText(day)}"`;
}

function clockText(ofDay: number, fraction: number, digitCount: Digits): string {
  const minutes = Math.floor(ofDay / 60);
  const text = `${twoDigits[Math.floor(minutes / 60)]}:${twoDigits[minutes % 60]}:${twoDigits[ofDay % 60]}`;
  return fraction === 0 ? text : `${text}.${String(fraction).padStart(digitCount, '0')}`;
}

/** The day that was rendered last: neighbouring rows share it. */
const lastDay = { day: Number.NaN, text: '' };

function dayText(day: number): string {
  if (day !== lastDay.day) {
    lastDay.day = day;
    lastDay.text = new Date(day * secondsPerDay * 1000).toISOString().slice(0, 10);
  }
  return lastDay.text;
}

const renderOther: Render = (value) => stringifyJsonText(toPlain(value));

/** What JSON has no word for: bytes become base64, times ISO text, numbers that are none the text that says so. */
function toPlain(value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(toPlain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toPlain(member)]));
}
