// JSON compared by meaning: the order of fields does not count, an undefined field is none.

import { sha256 } from '@etl-router/core';

/** The text of a value with its fields in order: equal values have equal texts. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** A short text that is the same for values that mean the same. */
export function digestOf(value: unknown): string {
  return Buffer.from(sha256(Buffer.from(canonicalJson(value))))
    .toString('hex')
    .slice(0, 32);
}

/** True when two values mean the same. */
export function sameJson(a: unknown, b: unknown): boolean {
  return canonicalJson(a) === canonicalJson(b);
}

/**
 * What `whole` says where `part` has an opinion: its fields, and of lists the elements that answer to those of `part` by
 * name, else by place. What is missing there is missing in the result.
 */
export function project(whole: unknown, part: unknown): unknown {
  if (Array.isArray(part)) {
    // A list of plain values is one value: what somebody added to it counts.
    if (!Array.isArray(whole) || !part.some(isRecord)) return whole;
    return part.map((item: unknown, index) => project(counterpart(whole, item, index), item));
  }
  if (!isRecord(part) || !isRecord(whole)) return whole;
  const fields = Object.entries(part).flatMap(([name, inner]) =>
    inner === undefined || whole[name] === undefined ? [] : [[name, project(whole[name], inner)]],
  );
  return Object.fromEntries(fields) as unknown;
}

function counterpart(list: readonly unknown[], item: unknown, index: number): unknown {
  if (!isRecord(item)) return list[index];
  for (const key of ['uid', 'name', 'type', 'containerPort', 'port', 'mountPath', 'key']) {
    if (item[key] === undefined) continue;
    return list.find((other) => isRecord(other) && other[key] === item[key]);
  }
  return list[index];
}

function isRecord(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
