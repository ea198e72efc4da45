// Dotted paths into JSON values. Only own members count, so a payload can not reach or change a prototype.

import { stringifyJsonText } from '@etl-router/core';

/** A JSON object whose members may be changed because it was made for that. */
export type JsonMap = { [name: string]: unknown };

/** `a.b` as its names. */
export function parsePath(text: string): readonly string[] {
  return text.replace(/^data\./, '').split('.');
}

export function isMap(value: unknown): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The member at a path; undefined when there is none. */
export function getAt(value: unknown, path: readonly string[]): unknown {
  let at = value;
  for (const name of path) {
    if (!isMap(at) || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}

/** A copy of the map with the member at a path set; maps on the way are copied or made. */
export function setAt(map: JsonMap, path: readonly string[], member: unknown): JsonMap {
  const [name = '', ...rest] = path;
  const before = Object.hasOwn(map, name) ? map[name] : undefined;
  const after = rest.length === 0 ? member : setAt(isMap(before) ? before : {}, rest, member);
  return define({ ...map }, name, after);
}

/**
 * Sets the member at a path of `draft`, a copy that is ours to change. Only the draft itself is changed: maps on the way
 * are copied, so nothing of what it was copied from is touched.
 */
export function setIn(draft: JsonMap, path: readonly string[], member: unknown): void {
  const name = path[0] as string;
  if (path.length === 1) define(draft, name, member);
  else {
    const before = Object.hasOwn(draft, name) ? draft[name] : undefined;
    define(draft, name, setAt(isMap(before) ? before : {}, path.slice(1), member));
  }
}

/** A function that copies a map without the members at some paths; the map itself where it has none of them. */
export function withoutPaths(paths: readonly (readonly string[])[]): (map: JsonMap) => JsonMap {
  const names = new Set(paths.flatMap(([name = '', ...rest]) => (rest.length === 0 ? [name] : [])));
  const deeper = paths.filter(({ length }) => length > 1);
  return (map) => deeper.reduce(deleteAt, withoutNames(map, names));
}

function withoutNames(map: JsonMap, names: ReadonlySet<string>): JsonMap {
  const kept = Object.keys(map).filter((name) => !names.has(name));
  if (kept.length === Object.keys(map).length) return map;
  const copy: JsonMap = {};
  for (const name of kept) define(copy, name, map[name]);
  return copy;
}

/** A copy of the map without the member at a path. */
function deleteAt(map: JsonMap, path: readonly string[]): JsonMap {
  const [name = '', ...rest] = path;
  if (!Object.hasOwn(map, name)) return map;
  if (rest.length === 0) return withoutNames(map, new Set([name]));
  const before = map[name];
  if (!isMap(before)) return map;
  const after = deleteAt(before, rest);
  return after === before ? map : define({ ...map }, name, after);
}

/** Sets a member of any name, `__proto__` included, as an ordinary one. */
function define(map: JsonMap, name: string, value: unknown): JsonMap {
  if (name !== '__proto__') map[name] = value;
  else
    Object.defineProperty(map, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  return map;
}

/** A value as text, whatever its type; maps and lists as JSON. */
export function toText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
    return `${value}`;
  return stringifyJsonText(value);
}
