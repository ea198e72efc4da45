// The rules as Kubernetes runs them: CEL with its own quantities, over values whose types the schema says.

import { Environment } from '@marcbachmann/cel-js';
import type { OpenApi } from './open-api.ts';
import { Quantity } from './quantity.ts';

export const environment = new Environment({ unlistedVariablesAreDyn: true })
  .registerType('Quantity', { ctor: Quantity, fields: { nanos: 'int' } })
  .registerFunction('quantity(string): Quantity', (text: string) => Quantity.parse(text))
  .registerFunction(
    'Quantity.isInteger(): bool',
    ({ nanos }: Quantity) => nanos % 10n ** 9n === 0n && nanos / 10n ** 9n < 2n ** 63n,
  )
  .registerFunction('Quantity.compareTo(Quantity): int', (one: Quantity, other: Quantity) =>
    one.compareTo(other),
  )
  .registerFunction(
    'Quantity.sub(int): Quantity',
    ({ nanos }: Quantity, whole: bigint) => new Quantity(nanos - whole * 10n ** 9n),
  );

const programs = new Map<string, ReturnType<Environment['parse']>>();

/** Whether the rule holds. A rule that can not be evaluated does not hold. */
export function holds(rule: string, variables: { readonly [name: string]: unknown }): boolean {
  let program = programs.get(rule);
  if (program === undefined) {
    program = environment.parse(rule);
    programs.set(rule, program);
  }
  try {
    return program({ ...variables }) === true;
  } catch {
    return false;
  }
}

const reserved = ['namespace', 'in', 'as', 'for', 'if', 'import', 'let', 'return', 'package'];

/** The name of a field in a rule. */
export function escaped(name: string): string {
  if (reserved.includes(name)) return `__${name}__`;
  return name.replaceAll('-', '__dash__');
}

/** The value as the rules see it: whole numbers are integers, and what the schema does not know is not there. */
export function toCel(schema: OpenApi, value: unknown): unknown {
  if (schema['x-kubernetes-int-or-string'] === true || schema.type === 'integer') {
    return typeof value === 'number' ? BigInt(value) : value;
  }
  if (Array.isArray(value)) return value.map((item) => toCel(schema.items as OpenApi, item));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).flatMap(([name, member]) => {
    const inner = schema.properties?.[name] ?? schema.additionalProperties;
    if (inner === undefined || !isVisible(inner)) return [];
    const key = schema.properties === undefined ? name : escaped(name);
    return [[key, toCel(inner, member)] as const];
  });
  return Object.fromEntries(entries);
}

/** Whether rules can see a value of the schema. */
export function isVisible(schema: OpenApi): boolean {
  if (schema['x-kubernetes-int-or-string'] === true) return true;
  if (schema.type === undefined) return false;
  const inner = schema.items ?? schema.additionalProperties;
  return inner === undefined || isVisible(inner);
}
