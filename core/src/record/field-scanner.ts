// Reads one top-level field of a JSON object without building the object: for conditions that drop most records before
// anything else looks at them. It answers only when it is sure to answer as JSON.parse would, for the whole text: it
// checks the text to its end, and says `unsure` for whatever it does not check itself. Then the caller parses.

/** The scanner's answer for a text that has to be parsed to be sure. */
export const unsure: unique symbol = Symbol('unsure');

/** The name of a field, prepared once for many records. */
export interface FieldName {
  readonly text: string;
  /** As it stands in a text without escapes; undefined for names that the scanner leaves to the parser. */
  readonly bytes: Uint8Array | undefined;
}

/** Prepares a name for {@link scanField}. */
export function fieldName(text: string): FieldName {
  const isPlain = /^[ !#-[\]-~]*$/.test(text);
  return { text, bytes: isPlain ? Buffer.from(text, 'latin1') : undefined };
}

/** An own field of a parsed payload; undefined for what is no object or has no such field. */
export function ownField(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, name)
    ? (value as { readonly [name: string]: unknown })[name]
    : undefined;
}

const maxDepth = 16;
const maxExactDigits = 15;
const powersOfTen = Array.from({ length: maxExactDigits + 1 }, (_, power) => 10 ** power);

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];
const [minus, plus, dot, zero, nine] = [0x2d, 0x2b, 0x2e, 0x30, 0x39];

/** 1 for bytes that a string may hold as they are: no quote, backslash or control character. */
const isPlain = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte !== quote && byte !== backslash ? 1 : 0,
);

/**
 * The string, number, boolean or null that the field `name` (ASCII without escapes) of the JSON object between two
 * offsets has; undefined when the object has no such field; {@link unsure} when only a parser can tell.
 */
export function scanField(bytes: Buffer, name: Uint8Array, from: number, to: number): unknown {
  let at = skipSpace(bytes, from, to);
  if (bytes[at] !== openBrace || at >= to) return unsure;
  let start = -1;
  let end = -1;
  at = skipSpace(bytes, at + 1, to);
  if (at < to && bytes[at] === closeBrace) {
    return skipSpace(bytes, at + 1, to) === to ? undefined : unsure;
  }
  for (;;) {
    const keyEnd = skipString(bytes, at, to);
    if (keyEnd < 0) return unsure;
    const isWanted = keyEnd - at === name.length + 2 && equalAt(bytes, at + 1, name);
    const valueStart = skipColon(bytes, keyEnd, to);
    if (valueStart < 0) return unsure;
    at = skipValue(bytes, valueStart, to, 0);
    if (at < 0) return unsure;
    if (isWanted) {
      start = valueStart;
      end = at;
    }
    at = skipSpace(bytes, at, to);
    if (at >= to) return unsure;
    const next = bytes[at];
    if (next === closeBrace) break;
    if (next !== comma) return unsure;
    at = skipSpace(bytes, at + 1, to);
  }
  if (skipSpace(bytes, at + 1, to) !== to) return unsure;
  return start < 0 ? undefined : readScalar(bytes, start, end);
}

function equalAt(bytes: Buffer, start: number, name: Uint8Array): boolean {
  for (let index = 0; index < name.length; index++) {
    if (bytes[start + index] !== name[index]) return false;
  }
  return true;
}

// Each of these returns where the next byte is, the skip functions for tokens -1 where only a parser can tell.

function skipSpace(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to) {
    const byte = bytes[at] as number;
    if (byte > 0x20 || (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) break;
    at++;
  }
  return at;
}

/** Over a colon and the white space around it. */
function skipColon(bytes: Buffer, from: number, to: number): number {
  const at = skipSpace(bytes, from, to);
  return at < to && bytes[at] === colon ? skipSpace(bytes, at + 1, to) : -1;
}

/** Over a string without escapes or control characters. */
function skipString(bytes: Buffer, from: number, to: number): number {
  if (from >= to || bytes[from] !== quote) return -1;
  let at = from + 1;
  while (at < to && isPlain[bytes[at] as number] === 1) at++;
  return at < to && bytes[at] === quote ? at + 1 : -1;
}

function skipValue(bytes: Buffer, from: number, to: number, depth: number): number {
  if (from >= to) return -1;
  const first = bytes[from] as number;
  if (first === quote) return skipString(bytes, from, to);
  if (first === openBrace || first === openBracket) {
    return depth < maxDepth ? skipContainer(bytes, from, to, depth + 1) : -1;
  }
  if (first === minus || (first >= zero && first <= nine)) return skipNumber(bytes, from, to);
  return skipWord(bytes, from, to);
}

function skipContainer(bytes: Buffer, from: number, to: number, depth: number): number {
  const isObject = bytes[from] === openBrace;
  const close = isObject ? closeBrace : closeBracket;
  let at = skipSpace(bytes, from + 1, to);
  if (at < to && bytes[at] === close) return at + 1;
  for (;;) {
    if (isObject) {
      const keyEnd = skipString(bytes, at, to);
      if (keyEnd < 0) return -1;
      at = skipColon(bytes, keyEnd, to);
      if (at < 0) return -1;
    }
    const end = skipValue(bytes, at, to, depth);
    if (end < 0) return -1;
    at = skipSpace(bytes, end, to);
    if (at >= to) return -1;
    const next = bytes[at];
    if (next === close) return at + 1;
    if (next !== comma) return -1;
    at = skipSpace(bytes, at + 1, to);
  }
}

function skipDigits(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && (bytes[at] as number) >= zero && (bytes[at] as number) <= nine) at++;
  return at;
}

function skipNumber(bytes: Buffer, from: number, to: number): number {
  const start = bytes[from] === minus ? from + 1 : from;
  let at = skipDigits(bytes, start, to);
  if (at === start || (bytes[start] === zero && at > start + 1)) return -1;
  if (at < to && bytes[at] === dot) {
    const fraction = at + 1;
    at = skipDigits(bytes, fraction, to);
    if (at === fraction) return -1;
  }
  if (at < to && ((bytes[at] as number) | 0x20) === 0x65) {
    at++;
    if (at < to && (bytes[at] === plus || bytes[at] === minus)) at++;
    const exponent = at;
    at = skipDigits(bytes, exponent, to);
    if (at === exponent) return -1;
  }
  return at;
}

const words: ReadonlyMap<number, { readonly text: Buffer; readonly value: boolean | null }> =
  new Map([
    [0x74, { text: Buffer.from('true'), value: true }],
    [0x66, { text: Buffer.from('false'), value: false }],
    [0x6e, { text: Buffer.from('null'), value: null }],
  ]);

function skipWord(bytes: Buffer, from: number, to: number): number {
  const text = words.get(bytes[from] as number)?.text;
  if (text === undefined || from + text.length > to || !equalAt(bytes, from, text)) return -1;
  return from + text.length;
}

function readScalar(bytes: Buffer, start: number, end: number): unknown {
  const first = bytes[start] as number;
  if (first === quote) return bytes.toString('utf8', start + 1, end - 1);
  if (first === openBrace || first === openBracket) return unsure;
  const word = words.get(first);
  return word === undefined ? readNumber(bytes, start, end) : word.value;
}

/**
 * A number of at most 15 digits with or without a fraction. Its digits as an integer and the power of ten are exact
 * doubles, so that the one division rounds as JSON.parse does.
 */
function readNumber(bytes: Buffer, start: number, end: number): unknown {
  if (end - start > maxExactDigits) return unsure;
  const isNegative = bytes[start] === minus;
  let value = 0;
  let fractionStart = end;
  for (let at = isNegative ? start + 1 : start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte === dot) fractionStart = at + 1;
    else if (byte < zero || byte > nine) return Number(bytes.toString('latin1', start, end));
    else value = value * 10 + (byte - zero);
  }
  if (fractionStart < end) value /= powersOfTen[end - fractionStart] as number;
  return isNegative ? -value : value;
}
