// Values of the CEL library as JSON carries them: what a map transform puts into a payload.

import { isEvaluationFailure } from './failure.ts';

/**
 * The JSON value of an expression's result: integers are numbers up to 2^53 and bigint beyond, timestamps RFC 3339
 * text, durations seconds with `s`, bytes base64. Failures and what JSON has already pass through.
 */
export function toJsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }
  if (typeof value !== 'object' || value === null || isEvaluationFailure(value)) return value;
  if (Array.isArray(value)) return value.map(toJsonValue);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Map) return toObject(value.entries());
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return toObject(Object.entries(value));
  const primitive: unknown = value.valueOf();
  if (typeof primitive === 'bigint') return toJsonValue(primitive);
  return (value as { toString(): string }).toString();
}

function toObject(entries: Iterable<[unknown, unknown]>): object {
  const converted: [string, unknown][] = [];
  for (const [name, member] of entries) converted.push([String(name), toJsonValue(member)]);
  return Object.fromEntries(converted);
}
