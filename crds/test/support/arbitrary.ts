// Values that a schema describes, for properties. They fit type and bounds; the rules are left to the filter of whoever
// draws them.

import { formatDuration, formatQuantity, parseDuration, parseQuantity } from '@etl-router/core';
import type { ListSchema, ObjectSchema, QuantitySchema, Schema } from '@etl-router/crds';
import fc from 'fast-check';

/** What to draw at some paths in place of what the schema says. */
export type Override = (path: string, schema: Schema) => fc.Arbitrary<unknown> | undefined;

export function valuesOf(schema: Schema, override: Override, path = 'spec'): fc.Arbitrary<unknown> {
  return override(path, schema) ?? drawn(schema, override, path);
}

function drawn(schema: Schema, override: Override, path: string): fc.Arbitrary<unknown> {
  switch (schema.kind) {
    case 'text':
      return textOf(schema);
    case 'duration': {
      const [min, max] = [parseDuration(schema.min), parseDuration(schema.max)];
      return fc.integer({ min, max }).map(formatDuration);
    }
    case 'quantity':
      return sizeOf(schema);
    case 'count':
      return fc.oneof(
        fc.integer({ min: schema.min, max: Math.min(schema.max, schema.min + 10) }),
        fc.maxSafeNat().map((n) => schema.min + (n % (schema.max - schema.min + 1))),
      );
    case 'fraction':
      return fc.double({ min: schema.min, max: schema.max, noNaN: true });
    case 'flag':
      return fc.boolean();
    case 'list':
      return listOf(schema, override, path);
    case 'map':
      return fc.dictionary(
        override(`${path}.*key`, schema)?.map(String) ?? fc.constantFrom('a', 'b.c', 'd', 'e2'),
        valuesOf(schema.values, override, `${path}.*`),
        {
          minKeys: schema.minProperties,
          maxKeys: Math.min(3, schema.maxProperties),
          noNullPrototype: true,
        },
      );
    case 'object':
      return objectOf(schema, override, path);
    case 'any':
      return fc.constant({});
  }
}

function textOf(schema: Extract<Schema, { kind: 'text' }>): fc.Arbitrary<string> {
  const { choices, pattern, format, minLength, maxLength } = schema;
  if (choices !== undefined) return fc.constantFrom(...choices);
  if (format === 'date-time')
    return fc.constantFrom('2026-01-31T12:00:00Z', '1999-12-31T23:59:59.5+02:00');
  if (format === 'cel') return fc.constantFrom("record.type == 'order'", 'record.data.delay > 15');
  if (pattern === undefined)
    return fc.string({
      minLength,
      maxLength: Math.min(maxLength, minLength + 12),
      unit: 'grapheme-ascii',
    });
  return fc.stringMatching(new RegExp(pattern)).filter((text) => text.length <= maxLength);
}

function sizeOf({ min, max, orNumber }: QuantitySchema): fc.Arbitrary<string | number> {
  const bytes = fc.integer({ min: parseQuantity(min), max: parseQuantity(max) });
  return orNumber ? fc.oneof(bytes, bytes.map(formatQuantity)) : bytes.map(formatQuantity);
}

function listOf(schema: ListSchema, override: Override, path: string): fc.Arbitrary<unknown[]> {
  const items = valuesOf(schema.items, override, `${path}[]`);
  const bounds = { minLength: schema.minItems, maxLength: Math.min(4, schema.maxItems) };
  if (schema.merge === 'atomic') return fc.array(items, bounds);
  const { keys } = schema;
  return fc.uniqueArray(items, {
    ...bounds,
    selector: (item) =>
      JSON.stringify(
        keys.length === 0 ? item : keys.map((key) => (item as { [name: string]: unknown })[key]),
      ),
  });
}

/** Of fields that exclude each other one is kept, for the rule that asks for it is rarely met by chance. */
function objectOf(schema: ObjectSchema, override: Override, path: string): fc.Arbitrary<object> {
  const names = Object.keys(schema.fields);
  const groups = schema.oneOf.flat();
  const needed = names.filter((name) => schema.fields[name]?.isRequired === true);
  const fields = names.map((name) => [
    name,
    valuesOf(schema.fields[name] as Schema, override, `${path}.${name}`),
  ]);
  const whole = fc.record(Object.fromEntries(fields) as { [name: string]: fc.Arbitrary<unknown> }, {
    requiredKeys: [...needed, ...groups],
    noNullPrototype: true,
  });
  return fc.tuple(whole, fc.nat()).map(([value, pick]) => {
    const dropped = schema.oneOf.flatMap((group) =>
      group.filter((_name, index) => index !== pick % group.length),
    );
    return Object.fromEntries(Object.entries(value).filter(([name]) => !dropped.includes(name)));
  });
}
