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

const [quote, backslash, comma, colon] = [0x22, 0x5c, 0x2c, 0x3a];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];
const [minus, plus, dot, zero, nine] = [0x2d, 0x2b, 0x2e, 0x30, 0x39];

/** Where the scan stands; one text at a time. */
let at = 0;

/**
 * The string, number, boolean or null that the field `name` (ASCII without escapes) of the JSON object between two
 * offsets has; undefined when the object has no such field; {@link unsure} when only a parser can tell.
 */
export function scanField(bytes: Buffer, name: Uint8Array, from: number, to: number): unknown {
  at = skipSpace(bytes, from, to);
  if (bytes[at] !== openBrace || at >= to) return unsure;
  let start = -1;
  let end = -1;
  at = skipSpace(bytes, at + 1, to);
  if (at < to && bytes[at] === closeBrace) {
    return skipSpace(bytes, at + 1, to) === to ? undefined : unsure;
  }
  for (;;) {
    const keyStart = at + 1;
    if (!skipString(bytes, to)) return unsure;
    const isWanted = at - 1 - keyStart === name.length && equalAt(bytes, keyStart, name);
    at = skipSpace(bytes, at, to);
    if (at >= to || bytes[at] !== colon) return unsure;
    at = skipSpace(bytes, at + 1, to);
    const valueStart = at;
    if (!skipValue(bytes, to, 0)) return unsure;
    if (isWanted) [start, end] = [valueStart, at];
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

function skipSpace(bytes: Buffer, from: number, to: number): number {
  let index = from;
  while (index < to) {
    const byte = bytes[index] as number;
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
    index++;
  }
  return index;
}

/** Moves over a string without escapes or control characters. */
function skipString(bytes: Buffer, to: number): boolean {
  if (at >= to || bytes[at] !== quote) return false;
  for (let index = at + 1; index < to; index++) {
    const byte = bytes[index] as number;
    if (byte === quote) {
      at = index + 1;
      return true;
    }
    if (byte < 0x20 || byte === backslash) return false;
  }
  return false;
}

function skipValue(bytes: Buffer, to: number, depth: number): boolean {
  if (at >= to) return false;
  const first = bytes[at] as number;
  if (first === quote) return skipString(bytes, to);
  if (first === openBrace || first === openBracket) {
    return depth < maxDepth && skipContainer(bytes, to, depth + 1);
  }
  if (first === minus || (first >= zero && first <= nine)) return skipNumber(bytes, to);
  return skipWord(bytes, to, first);
}

function skipContainer(bytes: Buffer, to: number, depth: number): boolean {
  const isObject = bytes[at] === openBrace;
  const close = isObject ? closeBrace : closeBracket;
  at = skipSpace(bytes, at + 1, to);
  if (at < to && bytes[at] === close) {
    at++;
    return true;
  }
  for (;;) {
    if (isObject) {
      if (!skipString(bytes, to)) return false;
      at = skipSpace(bytes, at, to);
      if (at >= to || bytes[at] !== colon) return false;
      at = skipSpace(bytes, at + 1, to);
    }
    if (!skipValue(bytes, to, depth)) return false;
    at = skipSpace(bytes, at, to);
    if (at >= to) return false;
    const next = bytes[at++];
    if (next === close) return true;
    if (next !== comma) return false;
    at = skipSpace(bytes, at, to);
  }
}

function skipDigits(bytes: Buffer, from: number, to: number): number {
  let index = from;
  while (index < to && (bytes[index] as number) >= zero && (bytes[index] as number) <= nine)
    index++;
  return index;
}

function skipNumber(bytes: Buffer, to: number): boolean {
  const start = bytes[at] === minus ? at + 1 : at;
  let index = skipDigits(bytes, start, to);
  if (index === start || (bytes[start] === zero && index > start + 1)) return false;
  if (index < to && bytes[index] === dot) {
    const fraction = index + 1;
    index = skipDigits(bytes, fraction, to);
    if (index === fraction) return false;
  }
  if (index < to && ((bytes[index] as number) | 0x20) === 0x65) {
    index++;
    if (index < to && (bytes[index] === plus || bytes[index] === minus)) index++;
    const exponent = index;
    index = skipDigits(bytes, exponent, to);
    if (index === exponent) return false;
  }
  at = index;
  return true;
}

const words: ReadonlyMap<number, { readonly text: Buffer; readonly value: boolean | null }> =
  new Map([
    [0x74, { text: Buffer.from('true'), value: true }],
    [0x66, { text: Buffer.from('false'), value: false }],
    [0x6e, { text: Buffer.from('null'), value: null }],
  ]);

function skipWord(bytes: Buffer, to: number, first: number): boolean {
  const text = words.get(first)?.text;
  if (text === undefined || at + text.length > to || !equalAt(bytes, at, text)) return false;
  at += text.length;
  return true;
}

function readScalar(bytes: Buffer, start: number, end: number): unknown {
  const first = bytes[start] as number;
  if (first === quote) return bytes.toString('utf8', start + 1, end - 1);
  if (first === openBrace || first === openBracket) return unsure;
  const word = words.get(first);
  return word === undefined ? readNumber(bytes, start, end) : word.value;
}

function readNumber(bytes: Buffer, start: number, end: number): unknown {
  if (end - start > maxExactDigits) return unsure;
  const isNegative = bytes[start] === minus;
  let value = 0;
  for (let index = isNegative ? start + 1 : start; index < end; index++) {
    const digit = (bytes[index] as number) - zero;
    if (digit < 0 || digit > 9) return Number(bytes.toString('latin1', start, end));
    value = value * 10 + digit;
  }
  return isNegative ? -value : value;
}
