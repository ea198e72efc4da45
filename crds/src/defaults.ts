// Fills in what an API server fills in, for those who make objects without one: tests, and tools that show what a
// manifest means.

import type { CustomResource } from './custom-resource.ts';
import type { JsonValue, Schema } from './schema.ts';

type Members = { readonly [name: string]: JsonValue };

/** A copy of the object whose spec has every default of the kind. */
export function withDefaults<Kind extends { readonly spec?: unknown }>(
  { spec }: CustomResource,
  object: Kind,
): Kind {
  return { ...object, spec: filled(spec, object.spec as JsonValue) };
}

function filled(schema: Schema, value: JsonValue): JsonValue {
  if (isList(value)) {
    return schema.kind === 'list' ? value.map((item) => filled(schema.items, item)) : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  const fields = schema.kind === 'object' ? schema.fields : {};
  const given = Object.entries(value).map(([name, member]) => {
    const inner = schema.kind === 'map' ? schema.values : fields[name];
    return [name, inner === undefined ? member : filled(inner, member)] as const;
  });
  const added = Object.entries(fields).flatMap(([name, inner]) =>
    inner.fallback === undefined || Object.hasOwn(value, name)
      ? []
      : [[name, filled(inner, inner.fallback)] as const],
  );
  return Object.fromEntries([...given, ...added]) as Members;
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}
