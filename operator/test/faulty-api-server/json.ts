// JSON as the server stores it, and the small operations on it that a server needs.

export type Json = string | number | boolean | null | Json[] | { [field: string]: Json };
export type JsonObject = { [field: string]: Json };

/** The bookkeeping of a stored object. */
export interface StoredMeta {
  [field: string]: Json;
  name: string;
  resourceVersion: string;
  uid: string;
}

/** A stored object. */
export interface Stored {
  [field: string]: Json;
  apiVersion: string;
  kind: string;
  metadata: StoredMeta;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function equal(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((value, index) => equal(value, b[index]));
  }
  if (!isObject(a) || !isObject(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => equal(a[name], b[name]));
}

/** The text that a field holds. */
export function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}

/** Lists whose elements have an identity of their own; all others are one value. */
const keyedLists: { readonly [field: string]: string } = {
  conditions: 'type',
  ownerReferences: 'uid',
};

/** Every leaf of an object by its path; elements of keyed lists by their key. */
export function leavesOf(
  value: Json,
  path = '',
  into: Map<string, Json> = new Map(),
): Map<string, Json> {
  const field = path.slice(path.lastIndexOf('\n') + 1);
  const key = keyedLists[field];
  if (isObject(value) && Object.keys(value).length > 0) {
    for (const [name, inner] of Object.entries(value)) leavesOf(inner, `${path}\n${name}`, into);
  } else if (Array.isArray(value) && key !== undefined) {
    for (const item of value) {
      if (isObject(item)) leavesOf(item, `${path}\n[${key}=${text(item[key])}]`, into);
    }
  } else if (Array.isArray(value) && field === 'finalizers') {
    for (const item of value) into.set(`${path}\n[=${text(item)}]`, item);
  } else {
    into.set(path, value);
  }
  return into;
}

/** Sets, or with undefined removes, the value at a path of {@link leavesOf}. */
export function setLeaf(target: JsonObject, path: string, value: Json | undefined): void {
  const [first = '', ...rest] = path.split('\n').slice(1);
  const next = rest[0];
  if (next?.startsWith('[') === true) return setElement(target, first, rest, value);
  if (rest.length === 0) {
    if (value === undefined) delete target[first];
    else target[first] = value;
    return;
  }
  const inner = target[first];
  if (!isObject(inner)) {
    if (value === undefined) return;
    target[first] = {};
  }
  setLeaf(target[first] as JsonObject, `\n${rest.join('\n')}`, value);
  if (value === undefined && Object.keys(target[first] as JsonObject).length === 0)
    delete target[first];
}

function setElement(
  target: JsonObject,
  field: string,
  rest: string[],
  value: Json | undefined,
): void {
  const [key = '', wanted = ''] = (rest[0] as string).slice(1, -1).split(/=(.*)/s);
  const list = (target[field] ??= []) as Json[];
  const index = list.findIndex((item) =>
    key === '' ? item === wanted : isObject(item) && item[key] === wanted,
  );
  if (key === '') {
    if (value === undefined && index >= 0) list.splice(index, 1);
    if (value !== undefined && index < 0) list.push(wanted);
  } else {
    const leaf = rest.slice(1).join('\n');
    if (value === undefined && leaf === key && index >= 0) list.splice(index, 1);
    if (value !== undefined && index < 0) list.push({ [key]: wanted });
    const item = list[index < 0 ? list.length - 1 : index];
    if (isObject(item) && item[key] === wanted) setLeaf(item, `\n${leaf}`, value);
  }
  if (list.length === 0) delete target[field];
}

/** RFC 6902 without `move` and `copy`; undefined when a test fails or a path is not there. */
export function patched(
  target: JsonObject,
  operations: readonly JsonObject[],
): JsonObject | undefined {
  const root = structuredClone(target);
  for (const { op, path, value } of operations) {
    const names = text(path)
      .split('/')
      .slice(1)
      .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = names.pop() as string;
    let parent: Json | undefined = root;
    for (const name of names) parent = (parent as JsonObject | undefined)?.[name];
    if (typeof parent !== 'object' || parent === null) return undefined;
    if (!operate(parent as JsonObject | Json[], last, text(op), value)) return undefined;
  }
  return root;
}

function operate(
  parent: JsonObject | Json[],
  name: string,
  op: string,
  value: Json | undefined,
): boolean {
  if (Array.isArray(parent)) {
    const index = name === '-' ? parent.length : Number(name);
    if (op === 'add')
      return index <= parent.length && parent.splice(index, 0, value as Json).length === 0;
    if (index >= parent.length) return false;
    if (op === 'test') return equal(parent[index], value);
    parent.splice(index, 1, ...(op === 'replace' ? [value as Json] : []));
    return true;
  }
  if (op === 'test') return equal(parent[name], value);
  if (op !== 'add' && !(name in parent)) return false;
  if (op === 'remove') delete parent[name];
  else parent[name] = value as Json;
  return true;
}
