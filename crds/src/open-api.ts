// The OpenAPI v3 schema of a word, structural as Kubernetes wants it.

import { parseQuantity } from '@etl-router/core';
import type {
  JsonValue,
  ListSchema,
  ObjectSchema,
  QuantitySchema,
  Rule,
  Schema,
} from './schema.ts';

type Members = { [name: string]: JsonValue };

/** What {@link parseDuration} of core reads. */
export const durationPattern = '^([0-9]{1,5}(h|ms|m|s)){1,4}$';
/** The longest text that the pattern takes. */
export const durationMaxLength = 28;
/** The longest quantity: 19 digits, a fraction of 9, and a suffix. */
export const quantityMaxLength = 32;

/** The schema of a value. */
export function toOpenApi(schema: Schema): { readonly [name: string]: JsonValue } {
  const { description, fallback } = schema;
  const rules = [...(schema.rules ?? []), ...boundsOf(schema)];
  return {
    description,
    ...typed(schema),
    ...(fallback === undefined ? {} : { default: fallback }),
    ...(rules.length === 0 ? {} : { 'x-kubernetes-validations': rules.map(toValidation) }),
  };
}

function toValidation({ rule, message }: Rule): JsonValue {
  return { rule, message };
}

function typed(schema: Schema): Members {
  switch (schema.kind) {
    case 'text':
      return typedText(schema);
    case 'duration':
      return {
        type: 'string',
        minLength: 2,
        maxLength: durationMaxLength,
        pattern: durationPattern,
      };
    case 'quantity':
      return typedQuantity(schema);
    case 'count':
      return {
        type: 'integer',
        format: `int${schema.bits}`,
        minimum: schema.min,
        maximum: schema.max,
      };
    case 'fraction':
      return { type: 'number', minimum: schema.min, maximum: schema.max };
    case 'flag':
      return { type: 'boolean' };
    case 'list':
      return typedList(schema);
    case 'map':
      return {
        type: 'object',
        maxProperties: schema.maxProperties,
        ...(schema.minProperties === 0 ? {} : { minProperties: schema.minProperties }),
        additionalProperties: toOpenApi(schema.values),
      };
    case 'object':
      return typedObject(schema);
    case 'any':
      return {
        ...(schema.type === undefined ? { maxLength: schema.maxLength } : { type: schema.type }),
        maxProperties: schema.maxProperties,
        'x-kubernetes-preserve-unknown-fields': true,
      };
  }
}

function typedText(schema: Extract<Schema, { kind: 'text' }>): Members {
  const { choices, pattern, format, minLength, maxLength } = schema;
  if (choices !== undefined) return { type: 'string', enum: choices };
  return {
    type: 'string',
    ...(minLength === 0 ? {} : { minLength }),
    maxLength,
    ...(pattern === undefined ? {} : { pattern }),
    ...(format === 'date-time' ? { format } : {}),
  };
}

function typedQuantity({ orNumber, pattern }: QuantitySchema): Members {
  const bounds = { maxLength: quantityMaxLength, pattern };
  if (!orNumber) return { type: 'string', minLength: 1, ...bounds };
  return {
    anyOf: [{ type: 'integer' }, { type: 'string' }],
    ...bounds,
    'x-kubernetes-int-or-string': true,
  };
}

function typedList({ items, minItems, maxItems, merge, keys }: ListSchema): Members {
  return {
    type: 'array',
    ...(minItems === 0 ? {} : { minItems }),
    maxItems,
    'x-kubernetes-list-type': merge,
    ...(merge === 'map' ? { 'x-kubernetes-list-map-keys': keys } : {}),
    items: toOpenApi(items),
  };
}

function typedObject({ fields }: ObjectSchema): Members {
  const entries = Object.entries(fields);
  const needed = entries.flatMap(([name, field]) => (field.isRequired === true ? [name] : []));
  return {
    type: 'object',
    ...(needed.length === 0 ? {} : { required: needed }),
    properties: Object.fromEntries(entries.map(([name, field]) => [name, toOpenApi(field)])),
  };
}

/** The rule that keeps a quantity within its bounds; numbers have theirs in the schema. */
function boundsOf(schema: Schema): readonly Rule[] {
  if (schema.kind !== 'quantity' || !schema.isChecked) return [];
  const { min, max, orNumber } = schema;
  const within = `quantity(self).isInteger() && quantity(self).compareTo(quantity('${min}')) >= 0 && quantity(self).compareTo(quantity('${max}')) <= 0`;
  const number = `self >= ${parseQuantity(min)} && self <= ${parseQuantity(max)}`;
  return [
    {
      rule: orNumber ? `type(self) == int ? ${number} : ${within}` : within,
      message: `needs a size from ${min} to ${max}, such as 500Mi or 2Gi`,
    },
  ];
}
