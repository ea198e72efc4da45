// The words that the kinds are described with. Each says what a value is, with a sentence for people and a bound: the cost
// of the rules is computed from the bounds, so there is no word without one. What is made of them: the OpenAPI schema
// (open-api.ts), TypeScript types and reference pages (scripts/generate-crds.ts). Nothing here knows a kind.

import { formatDuration, parseDuration } from '@etl-router/core';

/** A value of a manifest. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** A rule in CEL over `self`, and `oldSelf` where only a change is judged. */
export interface Rule {
  readonly rule: string;
  /** What to do about it; the API server puts the path of the field before it. */
  readonly message: string;
}

interface Common {
  /** One or more sentences, as `kubectl explain` prints them. */
  readonly description: string;
  /** Whether the object that the value is a field of needs it. */
  readonly isRequired?: boolean;
  /**
   * The value when none is given. Defaults within an object are filled in after its own default was judged, so its rules
   * have to hold of that default as it stands.
   */
  readonly fallback?: JsonValue;
  readonly rules?: readonly Rule[];
}

/** A string, or one of a few. */
export interface TextSchema extends Common {
  readonly kind: 'text';
  readonly minLength: number;
  readonly maxLength: number;
  readonly pattern?: string;
  readonly choices?: readonly string[];
  /** What the text is written in, where a pattern does not say it. date-time is for what is not typed in by hand: the API server takes a list for it too. */
  readonly format?: 'date-time' | 'cel' | 'path';
}

/** Text such as `1m30s`, of the Gateway API's format. */
export interface DurationSchema extends Common {
  readonly kind: 'duration';
  readonly min: string;
  readonly max: string;
}

/** A size such as `64Mi`; with `orNumber` also a number of bytes, or of what the unit is. */
export interface QuantitySchema extends Common {
  readonly kind: 'quantity';
  readonly min: string;
  readonly max: string;
  readonly orNumber: boolean;
  /** False where the bounds would cost too much to check in a list; the operator checks them then. */
  readonly isChecked: boolean;
  readonly pattern: string;
}

/** A whole number. */
export interface CountSchema extends Common {
  readonly kind: 'count';
  readonly min: number;
  readonly max: number;
  readonly bits: 32 | 64;
}

/** A number with a fraction. */
export interface FractionSchema extends Common {
  readonly kind: 'fraction';
  readonly min: number;
  readonly max: number;
}

export interface FlagSchema extends Common {
  readonly kind: 'flag';
}

export interface ListSchema extends Common {
  readonly kind: 'list';
  readonly items: Schema;
  readonly minItems: number;
  readonly maxItems: number;
  /** Who else may own an item: nobody (atomic), or owners by value (set) or by `keys` (map). */
  readonly merge: 'atomic' | 'set' | 'map';
  readonly keys: readonly string[];
}

/** Names that people choose, each with a value of one type. */
export interface MapSchema extends Common {
  readonly kind: 'map';
  readonly values: Schema;
  readonly minProperties: number;
  readonly maxProperties: number;
}

/** Fields with names of ours. */
export interface ObjectSchema extends Common {
  readonly kind: 'object';
  readonly fields: { readonly [name: string]: Schema };
  /** Sets of fields of which exactly one is given. */
  readonly oneOf: readonly (readonly string[])[];
  /** Name of its TypeScript type where several kinds share it. */
  readonly typeName?: string;
}

/** A value that the schema can not describe: of several types, nested in itself, or somebody else's. */
export interface AnySchema extends Common {
  readonly kind: 'any';
  /** `object`: at least that much is known. */
  readonly type?: 'object';
  readonly maxLength: number;
  readonly maxProperties: number;
}

export type Schema =
  | TextSchema
  | DurationSchema
  | QuantitySchema
  | CountSchema
  | FractionSchema
  | FlagSchema
  | ListSchema
  | MapSchema
  | ObjectSchema
  | AnySchema;

interface Options {
  readonly fallback?: JsonValue;
  readonly rules?: readonly Rule[];
}

/** Marks a field that its object needs. */
export function required<S extends Schema>(schema: S): S {
  return { ...schema, isRequired: true };
}

interface TextOptions extends Options {
  /** Characters at most. Default 253, the longest name. */
  readonly max?: number;
  /** Characters at least. Default 1. */
  readonly min?: number;
  readonly pattern?: string;
  readonly format?: 'date-time' | 'cel' | 'path';
}

export function text(description: string, options: TextOptions = {}): TextSchema {
  const { max = 253, min = 1, ...rest } = options;
  return { kind: 'text', description, minLength: min, maxLength: max, ...rest };
}

export function choice(
  description: string,
  choices: readonly string[],
  options: Options = {},
): TextSchema {
  const maxLength = Math.max(...choices.map(({ length }) => length));
  return { kind: 'text', description, minLength: 1, maxLength, choices, ...options };
}

interface Range<Bound> {
  readonly min: Bound;
  readonly max: Bound;
}

export function duration(description: string, options: Range<string> & Options): DurationSchema {
  const { min, max, rules = [], ...rest } = options;
  const [low, high] = [min, max].map((bound) => formatDuration(parseDuration(bound)));
  const bounds: Rule = {
    rule: `duration(self) >= duration('${low}') && duration(self) <= duration('${high}')`,
    message: `needs a duration from ${low} to ${high}, such as 30s or 1m30s`,
  };
  return { kind: 'duration', description, min, max, rules: [bounds, ...rules], ...rest };
}

/** What {@link parseQuantity} of core reads. */
const sizePattern = '^[0-9]{1,19}(\\.[0-9]{1,9})?([kMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$';

interface QuantityOptions extends Range<string>, Options {
  readonly orNumber?: boolean;
  readonly isChecked?: boolean;
  readonly pattern?: string;
}

export function quantity(description: string, options: QuantityOptions): QuantitySchema {
  const { min, max, orNumber = false, isChecked = true, pattern = sizePattern, ...rest } = options;
  return { kind: 'quantity', description, min, max, orNumber, isChecked, pattern, ...rest };
}

export function count(
  description: string,
  options: Range<number> & Options & { readonly bits?: 32 | 64 },
): CountSchema {
  const bits = options.bits ?? (options.max >= 2 ** 31 ? 64 : 32);
  return { kind: 'count', description, ...options, bits };
}

export function fraction(description: string, options: Range<number> & Options): FractionSchema {
  const { rules = [], ...rest } = options;
  return { kind: 'fraction', description, rules: [...fractionOf(options.min), ...rules], ...rest };
}

/** An API server compares whole numbers with whole bounds: to it 0 is not below 0.001. */
function fractionOf(min: number): readonly Rule[] {
  if (Number.isInteger(min)) return [];
  return [{ rule: `self >= ${min}`, message: `needs to be at least ${min}` }];
}

export function flag(description: string, options: Options = {}): FlagSchema {
  return { kind: 'flag', description, ...options };
}

interface ListOptions extends Options {
  readonly max: number;
  readonly min?: number;
  /** Field names by which items differ, or `set` where the values do. Default: the list is one value. */
  readonly by?: 'set' | readonly string[];
}

export function list(description: string, items: Schema, options: ListOptions): ListSchema {
  const { max, min = 0, by, ...rest } = options;
  const merge = by === undefined ? 'atomic' : by === 'set' ? 'set' : 'map';
  const keys = by === undefined || by === 'set' ? [] : by;
  return {
    kind: 'list',
    description,
    items,
    minItems: min,
    maxItems: max,
    merge,
    keys,
    ...rest,
  };
}

export function map(
  description: string,
  values: Schema,
  options: Options & { readonly max: number; readonly min?: number },
): MapSchema {
  const { max, min = 0, ...rest } = options;
  return { kind: 'map', description, values, minProperties: min, maxProperties: max, ...rest };
}

interface ObjectOptions extends Options {
  readonly oneOf?: readonly (readonly string[])[];
  readonly typeName?: string;
}

export function object(
  description: string,
  fields: { readonly [name: string]: Schema },
  options: ObjectOptions = {},
): ObjectSchema {
  const { oneOf = [], rules = [], ...rest } = options;
  return {
    kind: 'object',
    description,
    fields,
    oneOf,
    rules: [...oneOf.map(exactlyOne), ...rules],
    ...rest,
  };
}

function exactlyOne(names: readonly string[]): Rule {
  const given = names.map((name) => `has(self.${name})`).join(', ');
  const last = names.length - 1;
  const listed = `${names.slice(0, last).join(', ')} and ${names[last]}`;
  return { rule: `[${given}].exists_one(given, given)`, message: `needs exactly one of ${listed}` };
}

/** A value of any type, or of any members. Its use is counted by a test: each is a promise that nobody checks. */
export function anything(
  description: string,
  options: { readonly type?: 'object'; readonly maxLength?: number; readonly max?: number } = {},
): AnySchema {
  const { type, maxLength = 65_536, max = 1000 } = options;
  const known = type === undefined ? {} : { type };
  return { kind: 'any', description, ...known, maxLength, maxProperties: max };
}
