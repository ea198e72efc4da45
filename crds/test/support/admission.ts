// What an API server does with an object, done simply: refuse unknown fields as kubectl asks it to, fill in defaults, check
// types and bounds, run the rules. Sentences begin with the path, as those of the real one.

import { holds, toCel } from './cel.ts';
import type { Known, OpenApi } from './open-api.ts';

type Members = { readonly [name: string]: unknown };

/** The object with its defaults, and what is wrong with it. */
export interface Admission {
  readonly object: Members;
  readonly problems: readonly string[];
}

/** Judges an object that is made, or that takes the place of `before`. */
export function admit({ schema }: Known, object: Members, before?: Members): Admission {
  const filled = withDefaults(schema, object) as Members;
  const old = before === undefined ? undefined : withDefaults(schema, before);
  const problems: string[] = [];
  checkShape(schema, filled, { path: '', problems });
  if (problems.length === 0) checkRules(schema, { value: filled, old, path: '', problems });
  return { object: filled, problems };
}

/** Adds what is wrong with a value of a schema, as it stands. */
export function judge(schema: OpenApi, value: unknown, problems: string[]): void {
  checkShape(schema, value, { path: 'value', problems });
  if (problems.length === 0) checkRules(schema, { value, old: undefined, path: 'value', problems });
}

/** A copy of the value in which what is left out and has a default is there. */
export function withDefaults(schema: OpenApi, value: unknown): unknown {
  if (Array.isArray(value)) {
    return schema.items === undefined
      ? value
      : value.map((item) => withDefaults(schema.items as OpenApi, item));
  }
  if (typeof value !== 'object' || value === null) return value;
  const { properties = {}, additionalProperties } = schema;
  const given = Object.entries(value).map(([name, member]) => {
    const inner = properties[name] ?? additionalProperties;
    return [name, inner === undefined ? member : withDefaults(inner, member)] as const;
  });
  const added = Object.entries(properties).flatMap(([name, inner]) =>
    inner.default === undefined || name in value
      ? []
      : [[name, withDefaults(inner, structuredClone(inner.default))] as const],
  );
  return Object.fromEntries([...given, ...added]);
}

interface Place {
  readonly path: string;
  readonly problems: string[];
}

function checkShape(schema: OpenApi, value: unknown, { path, problems }: Place): void {
  const wrong = (what: string): void => void problems.push(`${path}: ${what}`);
  if (!hasType(schema, value))
    return wrong(`must be of type ${schema.type ?? 'integer or string'}`);
  if (schema.enum !== undefined && !schema.enum.includes(value as string))
    wrong(`must be one of ${schema.enum.join(', ')}`);
  if (typeof value === 'string') checkText(schema, value, wrong);
  if (typeof value === 'number') {
    const { minimum = -Infinity, maximum = Infinity } = schema;
    if (value < minimum || value > maximum) wrong(`must be from ${minimum} to ${maximum}`);
  }
  if (Array.isArray(value)) checkList(schema, value, { path, problems });
  else if (typeof value === 'object') checkMembers(schema, value as Members, { path, problems });
}

function hasType(schema: OpenApi, value: unknown): boolean {
  if (schema['x-kubernetes-int-or-string'] === true)
    return typeof value === 'string' || Number.isInteger(value);
  const { type } = schema;
  if (type === undefined) return true;
  if (type === 'array') return Array.isArray(value);
  if (type === 'integer') return Number.isInteger(value);
  if (type !== 'object') return typeof value === type;
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function checkText(schema: OpenApi, value: string, wrong: (what: string) => void): void {
  const { minLength = 0, maxLength = Infinity, pattern, format } = schema;
  const { length } = Array.from(value);
  if (length < minLength) wrong(`should be at least ${minLength} chars long`);
  if (length > maxLength) wrong(`may not be longer than ${maxLength}`);
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(value))
    wrong(`should match ${pattern}`);
  if (
    format === 'date-time' &&
    !/^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(value)
  )
    wrong('must be a time of RFC 3339');
}

function checkList(schema: OpenApi, value: readonly unknown[], { path, problems }: Place): void {
  const { minItems = 0, maxItems = Infinity, items } = schema;
  if (value.length < minItems) problems.push(`${path}: should have at least ${minItems} items`);
  if (value.length > maxItems) problems.push(`${path}: must have at most ${maxItems} items`);
  const keys = schema['x-kubernetes-list-map-keys'];
  const identities = value.map((item) =>
    JSON.stringify(keys?.map((key) => (item as Members)?.[key]) ?? item),
  );
  if (schema['x-kubernetes-list-type'] !== 'atomic' && new Set(identities).size < value.length)
    problems.push(`${path}: duplicate value`);
  if (items === undefined) return;
  for (const [index, item] of value.entries())
    checkShape(items, item, { path: `${path}[${index}]`, problems });
}

function checkMembers(schema: OpenApi, value: Members, { path, problems }: Place): void {
  const { minProperties = 0, maxProperties = Infinity, properties, additionalProperties } = schema;
  const names = Object.keys(value);
  if (names.length < minProperties || names.length > maxProperties)
    problems.push(`${path}: must have ${minProperties} to ${maxProperties} properties`);
  for (const name of schema.required ?? [])
    if (!(name in value)) problems.push(`${path}.${name}: required value`);
  for (const [name, member] of Object.entries(value)) {
    const inner = properties?.[name] ?? additionalProperties;
    const at = path === '' ? name : `${path}.${name}`;
    if (inner !== undefined) checkShape(inner, member, { path: at, problems });
    else if (
      schema['x-kubernetes-preserve-unknown-fields'] !== true &&
      at.split('.')[0] !== 'metadata'
    )
      problems.push(`${at}: unknown field`);
  }
}

interface Change extends Place {
  readonly value: unknown;
  readonly old: unknown;
}

/** Runs the rules of a value and of all below. A rule over `oldSelf` is for values that were there before. */
function checkRules(schema: OpenApi, { value, old, path, problems }: Change): void {
  for (const { rule, message } of schema['x-kubernetes-validations'] ?? []) {
    const isTransition = rule.includes('oldSelf');
    if (isTransition && old === undefined) continue;
    const self = rootAware(schema, value, path);
    const variables = isTransition ? { self, oldSelf: rootAware(schema, old, path) } : { self };
    if (!holds(rule, variables)) problems.push(`${path === '' ? '' : `${path}: `}${message}`);
  }
  if (schema['x-kubernetes-preserve-unknown-fields'] === true) return;
  if (Array.isArray(value)) {
    const keys = schema['x-kubernetes-list-map-keys'];
    for (const [index, item] of value.entries()) {
      const before = keys === undefined ? undefined : sameItem(old, item as Members, keys);
      const at = `${path}[${index}]`;
      checkRules(schema.items as OpenApi, { value: item, old: before, path: at, problems });
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      const inner = schema.properties?.[name] ?? schema.additionalProperties;
      if (inner === undefined) continue;
      const at = path === '' ? name : `${path}.${name}`;
      const before = (old as Members | undefined)?.[name];
      checkRules(inner, { value: member, old: before, path: at, problems });
    }
  }
}

/** The root shows its name to the rules. */
function rootAware(schema: OpenApi, value: unknown, path: string): unknown {
  const seen = toCel(schema, value);
  return path === '' ? { ...(seen as Members), metadata: (value as Members)['metadata'] } : seen;
}

function sameItem(old: unknown, item: Members, keys: readonly string[]): unknown {
  if (!Array.isArray(old)) return undefined;
  return old.find((one: Members) => keys.every((key) => one[key] === item[key]));
}
