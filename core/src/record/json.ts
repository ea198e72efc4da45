// JSON as records carry it. Integers that a double would round are kept exact, as bigint, both ways.

import { EtlError } from '../errors.ts';

const manyDigits = /\d{16}/;
const integer = /^-?\d+$/;

/**
 * Parses UTF-8 JSON between two offsets. Integers beyond 2^53 - 1 come as bigint; everything else as JSON.parse
 * has it. Throws ETL_RECORD_MALFORMED, without quoting the text.
 */
export function parseJson(bytes: Buffer, from = 0, to: number = bytes.length): unknown {
  const text = bytes.toString('utf8', from, to);
  try {
    return manyDigits.test(text) ? JSON.parse(text, keepIntegers) : JSON.parse(text);
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
