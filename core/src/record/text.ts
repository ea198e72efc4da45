// UTF-8 in records. Types, media types and header names come again in every record, so short strings are looked up
// among those read lately before one is made. The table only saves work: what is returned never depends on it.

import { malformed } from './wire.ts';

const internMaxBytes = 32;
const internSlots = 1024;
const interned: string[] = Array.from({ length: internSlots }, () => '');

/** The string between two offsets. Throws ETL_INVALID_ARGUMENT for bytes that are not UTF-8: none is ever replaced. */
export function readText(bytes: Buffer, from: number, to: number): string {
  const length = to - from;
  if (length > internMaxBytes) return decodeText(bytes, from, to);
  if (length === 0) return '';
  const first = bytes[from] as number;
  const middle = bytes[(from + to) >>> 1] as number;
  const last = bytes[to - 1] as number;
  const slot = (length ^ (first << 1) ^ (middle << 3) ^ (last << 5)) & (internSlots - 1);
  const known = interned[slot] as string;
  if (known.length === length && isAt(bytes, from, known)) return known;
  const text = decodeText(bytes, from, to);
  interned[slot] = text;
  return text;
}

function decodeText(bytes: Buffer, from: number, to: number): string {
  const text = bytes.toString('utf8', from, to);
  if (text.includes('\ufffd') && bytes.compare(Buffer.from(text), 0, undefined, from, to) !== 0) {
    throw malformed('a string is not UTF-8');
  }
  return text;
}

/**
 * Whether `bytes` from `from` on are the UTF-8 of `text`, a string of as many units as there are bytes. A decoded
 * string has one unit for each byte only where each byte is ASCII.
 */
function isAt(bytes: Buffer, from: number, text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) !== bytes[from + index]) return false;
  }
  return true;
}
