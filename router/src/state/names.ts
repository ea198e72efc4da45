// What may be a name. The tests are on code units and code points alone, never on Unicode tables or the locale, so
// that every member decides alike whatever its runtime. Nothing that passes here can forge a key, a path or a log line.

import { EtlError } from '@etl-router/core';
import {
  maxIdLength,
  maxLabelLength,
  maxNameLength,
  maxPairs,
  maxPartitionBytes,
  maxPositionBytes,
  maxTextBytes,
  maxTtlMs,
  minTtlMs,
} from './limits.ts';

const label = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const id = /^[A-Za-z0-9](?:[A-Za-z0-9._:~@/+-]*[A-Za-z0-9._:~@+-])?$/;
/** C0, DEL and C1 controls, then what hides or reorders text on a screen. */
const unprintable =
  // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd]/;
const unprintableInText =
  // oxlint-disable-next-line no-control-regex -- line feeds and tabs are allowed in text, other controls are not
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffd]/;

/** Refuses a command: `field` is not what it must be. */
export function invalid(field: string, complaint: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `${field}: ${complaint}`, { details: { field } });
}

/** Throws unless `value` is an RFC 1123 label, such as a namespace or a stage. */
export function checkLabel(field: string, value: string): void {
  if (value.length <= maxLabelLength && label.test(value)) return;
  throw invalid(
    field,
    `must be 1 to ${maxLabelLength} lower-case letters, digits and "-", with a letter or digit at both ends`,
  );
}

/** Throws unless `value` is an RFC 1123 subdomain, such as the name of an object. */
export function checkSubdomain(field: string, value: string): void {
  if (value.length <= maxNameLength && subdomain.test(value)) return;
  throw invalid(
    field,
    `must be 1 to ${maxNameLength} lower-case letters, digits, "-" and ".", with a letter or digit at both ends`,
  );
}

/** Throws unless `value` is an id: `/` separates parts, none of which is empty, `.` or `..`. */
export function checkId(field: string, value: string): void {
  if (value.length <= maxIdLength && id.test(value) && !hasHollowPart(value)) return;
  throw invalid(
    field,
    `must be 1 to ${maxIdLength} letters, digits and . _ : ~ @ + - with parts separated by single "/"`,
  );
}

/** Like {@link checkId}, and `''` stands for none. */
export function checkOptionalId(field: string, value: string): void {
  if (value !== '') checkId(field, value);
}

/** Throws unless `value` is `namespace/name` of a pipeline. */
export function checkPipelineId(field: string, value: string): void {
  const slash = value.indexOf('/');
  if (slash < 0) throw invalid(field, 'must be namespace/name');
  checkLabel(field, value.slice(0, slash));
  checkSubdomain(field, value.slice(slash + 1));
}

/** Throws unless `value` names a partition: 1 to 1,024 bytes of printable text. */
export function checkPartition(field: string, value: string): void {
  if (value !== '' && utf8Length(value) <= maxPartitionBytes && !unprintable.test(value)) return;
  throw invalid(
    field,
    `must be 1 to ${maxPartitionBytes} bytes of text without control or invisible characters`,
  );
}

/** Throws unless `value` is short, printable text; line feeds and tabs are allowed. */
export function checkText(field: string, value: string, maxBytes: number = maxTextBytes): void {
  if (utf8Length(value) <= maxBytes && !unprintableInText.test(value)) return;
  throw invalid(
    field,
    `must be at most ${maxBytes} bytes of text without control or invisible characters`,
  );
}

/** Throws unless `value` is a position; an empty one is refused too. */
export function checkPosition(field: string, value: Uint8Array): void {
  if (isPosition(value)) return;
  throw invalid(field, `must be 1 to ${maxPositionBytes} bytes`);
}

/** True for 1 to 256 bytes. */
export function isPosition(value: Uint8Array): boolean {
  return value.length >= 1 && value.length <= maxPositionBytes;
}

/** Throws unless `value` is a lease or session time. */
export function checkTtl(field: string, value: number): void {
  if (value >= minTtlMs && value <= maxTtlMs) return;
  throw invalid(field, `must be ${minTtlMs} to ${maxTtlMs} ms`);
}

/** Throws when a list is longer than `most`. */
export function checkCount(field: string, count: number, most: number): void {
  if (count <= most) return;
  throw new EtlError('ETL_LIMIT_EXCEEDED', `${field}: ${count} entries, at most ${most}`, {
    details: { field, count, limit: most },
  });
}

/** Throws when bytes are more than `most`. */
export function checkBytes(field: string, bytes: number, most: number): void {
  if (bytes <= most) return;
  throw new EtlError('ETL_LIMIT_EXCEEDED', `${field}: ${bytes} bytes, at most ${most}`, {
    details: { field, bytes, limit: most },
  });
}

/** Throws unless the list is strictly ascending, and so without repetition. */
export function checkSorted(field: string, values: readonly string[]): void {
  for (let index = 1; index < values.length; index++) {
    if ((values[index - 1] as string) < (values[index] as string)) continue;
    throw invalid(field, 'must be sorted and without repetition');
  }
}

/** Throws unless the pairs are few, sorted by name, of legal names and with printable values. */
export function checkPairs(
  field: string,
  pairs: readonly { readonly name: string; readonly value: string }[],
  maxValueBytes?: number,
): void {
  checkCount(field, pairs.length, maxPairs);
  checkSorted(
    field,
    pairs.map((pair) => pair.name),
  );
  for (const pair of pairs) {
    checkId(`${field} name`, pair.name);
    checkText(`${field} ${pair.name}`, pair.value, maxValueBytes);
  }
}

/** Bytes of a well-formed string in UTF-8. */
export function utf8Length(value: string): number {
  let bytes = value.length;
  for (let index = 0; index < value.length; index++) {
    const unit = value.charCodeAt(index);
    if (unit < 0x80) continue;
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}

function hasHollowPart(value: string): boolean {
  if (!value.includes('/')) return value === '.' || value === '..';
  return value.split('/').some((part) => part === '' || part === '.' || part === '..');
}
