// JSON as records carry it. Integers that a double would round are kept exact, as bigint, both ways.

import { EtlError } from '../errors.ts';

const integer = /^-?\d+$/;

/**
 * Parses UTF-8 JSON between two offsets. Integers beyond 2^53 - 1 come as bigint; everything else as JSON.parse
 * has it. Throws ETL_RECORD_MALFORMED, without quoting the text.
 */
export function parseJson(bytes: Buffer, from = 0, to: number = bytes.length): unknown {
  const text = bytes.toString('utf8', from, to);
  try {
    return hasWideInteger(bytes, from, to) ? JSON.parse(text, keepIntegers) : JSON.parse(text);
  } catch (cause) {
    throw new EtlError('ETL_RECORD_MALFORMED', 'the payload is not valid JSON', { cause });
  }
}

/** The UTF-8 JSON of a value; bigints become exact integers, undefined members are left out. */
export function stringifyJson(value: unknown): Buffer {
  return Buffer.from(stringifyJsonText(value));
}

/** The JSON text of a value; bigints become exact integers. */
export function stringifyJsonText(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    text = JSON.stringify(value, (_key, member: unknown) =>
      typeof member === 'bigint' ? rawJson(String(member)) : member,
    );
  }
  return text ?? 'null';
}

/**
 * Whether 16 digits stand in a row, other than behind a point: only then can a double round an integer of the text.
 * A run that long covers every sixteenth byte at least once, so only those are looked at first.
 */
function hasWideInteger(bytes: Buffer, from: number, to: number): boolean {
  for (let at = from + 15; at < to; at += 16) {
    if (!isDigit(bytes[at])) continue;
    let first = at;
    while (first > from && isDigit(bytes[first - 1])) first--;
    while (at < to && isDigit(bytes[at])) at++;
    if (at - first >= 16 && (first === from || bytes[first - 1] !== 46)) return true;
  }
  return false;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57;
}

function keepIntegers(
  _key: string,
  value: unknown,
  context?: { readonly source?: string },
): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && integer.test(source) ? BigInt(source) : value;
}

/** ECMAScript's JSON.rawJSON (V8 has it since 11.4), which TypeScript's es2024 library does not declare. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON: (this: void, text: string) => unknown };
