// The scalars of the schema: exact 64-bit numbers, any JSON, and RFC 3339 times.

import { EtlError } from '@etl-router/core';
import { GraphQLScalarType, Kind, type ValueNode } from 'graphql';

const largest = 2n ** 64n - 1n;

function parseUInt64(value: unknown): bigint {
  const text = typeof value === 'number' || typeof value === 'bigint' ? String(value) : value;
  if (typeof text === 'string' && /^\d{1,20}$/.test(text) && BigInt(text) <= largest)
    return BigInt(text);
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    'UInt64 needs a whole number from 0 to 2^64 - 1, as a decimal string',
  );
}

/** Out: a decimal string. In: a decimal string, or a number that is still exact. */
export const uint64Scalar: GraphQLScalarType = new GraphQLScalarType({
  name: 'UInt64',
  serialize: (value) => String(parseUInt64(value)),
  parseValue: parseUInt64,
  parseLiteral: (node) =>
    parseUInt64(node.kind === Kind.INT || node.kind === Kind.STRING ? node.value : undefined),
});

/** Out: JSON with bigints as decimal strings. In: anything. */
export const jsonScalar: GraphQLScalarType = new GraphQLScalarType({
  name: 'JSON',
  serialize: (value) =>
    JSON.parse(
      JSON.stringify(value, (_key, member: unknown) =>
        typeof member === 'bigint' ? String(member) : member,
      ) ?? 'null',
    ) as unknown,
  parseValue: (value) => value,
  parseLiteral: literalValue,
});

function literalValue(node: ValueNode): unknown {
  switch (node.kind) {
    case Kind.STRING:
    case Kind.BOOLEAN:
      return node.value;
    case Kind.INT:
    case Kind.FLOAT:
      return Number(node.value);
    case Kind.LIST:
      return node.values.map(literalValue);
    case Kind.OBJECT:
      return Object.fromEntries(
        node.fields.map((field) => [field.name.value, literalValue(field.value)]),
      );
    case Kind.ENUM:
    case Kind.NULL:
    case Kind.VARIABLE:
      return null;
  }
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/;

/** Milliseconds since the Unix epoch out and in, as RFC 3339 text on the wire. */
export const dateTimeScalar: GraphQLScalarType = new GraphQLScalarType({
  name: 'DateTime',
  serialize: (value) => {
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw new EtlError('ETL_INTERNAL', 'a time is not a number of milliseconds');
    }
    return new Date(value).toISOString();
  },
  parseValue: parseTime,
  parseLiteral: (node) => parseTime(node.kind === Kind.STRING ? node.value : undefined),
});

function parseTime(value: unknown): number {
  const ms = typeof value === 'string' && rfc3339.test(value) ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      'DateTime needs an RFC 3339 time, such as 2026-01-31T12:00:00Z',
    );
  }
  return ms;
}
