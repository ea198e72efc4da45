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

/** A copy of the map without the member at a path. */
export function deleteAt(map: JsonMap, path: readonly string[]): JsonMap {
  const [name = '', ...rest] = path;
  if (!Object.hasOwn(map, name)) return map;
  if (rest.length === 0) {
    const { [name]: _gone, ...others } = map;
    return others;
  }
  const before = map[name];
  return isMap(before) ? define({ ...map }, name, deleteAt(before, rest)) : map;
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
