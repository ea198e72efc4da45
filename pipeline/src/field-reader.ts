// Reads the fields of what people wrote, one typed call a field, and reports what does not fit with its path.
// A field that nobody asked for is an error: nothing in a manifest is ignored silently.

import { EtlError, parseDuration, parseQuantity } from '@etl-router/core';
import type { Findings, Remark } from './finding.ts';
import type { Json, JsonObject } from './model.ts';
import { didYouMean, nearestName } from './suggest.ts';

/** A value and where it stands. */
export interface Placed {
  readonly value: Json;
  readonly path: string;
}

interface Bounds {
  readonly min: number;
  readonly max: number;
}

/** What the value is, in the words of error messages. */
export function typeName(value: Json | undefined): string {
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  if (isList(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value === 'bigint') return 'a number';
  return `a ${typeof value}`;
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** `path.name`, or `path["na me"]` where the name would not read as one word. */
export function joinPath(path: string, name: string): string {
  if (!/^[\w-]{1,100}$/.test(name)) return `${path}[${JSON.stringify(name.slice(0, 100))}]`;
  return path === '' ? name : `${path}.${name}`;
}

/** Opens a value as a map of fields; reports and returns undefined when it is no map. */
export function openFields(findings: Findings, at: Placed): Fields | undefined {
  if (isJsonObject(at.value)) return new Fields(findings, at.value, at.path);
  findings.add({
    code: 'WrongType',
    path: at.path,
    message: `needs a map, not ${typeName(at.value)}`,
  });
  return undefined;
}

/** The fields of one map. Each accessor marks its field as known; {@link Fields.end} reports the others. */
export class Fields {
  readonly path: string;
  readonly #findings: Findings;
  readonly #value: JsonObject;
  readonly #known = new Set<string>();

  constructor(findings: Findings, value: JsonObject, path: string) {
    this.#findings = findings;
    this.#value = value;
    this.path = path;
  }

  /** Path of one of the fields. */
  at(name: string): string {
    return joinPath(this.path, name);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#value, name) && this.#value[name] !== null;
  }

  /** The names that are present, nulls left out. */
  names(): string[] {
    return Object.keys(this.#value).filter((name) => this.#value[name] !== null);
  }

  /** Reports a finding about one of the fields, or about the map itself when `name` is empty. */
  report(name: string, remark: Omit<Remark, 'path'>): void {
    this.#findings.add({ ...remark, path: name === '' ? this.path : this.at(name) });
  }

  /** The field's value as it stands; undefined when absent or null. */
  raw(name: string): Json | undefined {
    this.#known.add(name);
    return this.has(name) ? this.#value[name] : undefined;
  }

  text(name: string): string | undefined {
    return this.#typed(name, 'a string', (value) =>
      typeof value === 'string' ? value : undefined,
    );
  }

  requiredText(name: string): string | undefined {
    if (!this.has(name)) this.#missing(name);
    return this.text(name);
  }

  boolean(name: string, fallback: boolean): boolean {
    const read = this.#typed(name, 'true or false', (value) =>
      typeof value === 'boolean' ? value : undefined,
    );
    return read ?? fallback;
  }

  /** A number within bounds; the fallback when absent or reported. */
  number<T extends number | undefined>(name: string, fallback: T, bounds: Bounds): number | T {
    const value = this.#typed(name, 'a number', (raw) =>
      typeof raw === 'number' || typeof raw === 'bigint' ? Number(raw) : undefined,
    );
    return value === undefined || !this.#within(name, value, bounds) ? fallback : value;
  }

  integer<T extends number | undefined>(name: string, fallback: T, bounds: Bounds): number | T {
    const value = this.number(name, undefined, bounds);
    if (value === undefined) return fallback;
    if (Number.isInteger(value)) return value;
    this.report(name, { code: 'BadValue', message: `needs a whole number, not ${value}` });
    return fallback;
  }

  durationMs<T extends number | undefined>(name: string, fallback: T, bounds: Bounds): number | T {
    const text = this.#typed(name, 'a duration such as 30s', (raw) =>
      typeof raw === 'string' ? raw : undefined,
    );
    if (text === undefined) return fallback;
    const value = this.#parsed(name, () => parseDuration(text, name));
    return value === undefined || !this.#within(name, value, bounds, ' ms') ? fallback : value;
  }

  bytes<T extends number | undefined>(name: string, fallback: T, bounds: Bounds): number | T {
    const text = this.#typed(name, 'a size such as 64Mi', (raw) =>
      typeof raw === 'string' || typeof raw === 'number' ? raw : undefined,
    );
    if (text === undefined) return fallback;
    const value = this.#parsed(name, () => parseQuantity(text, name));
    return value === undefined || !this.#within(name, value, bounds, ' bytes') ? fallback : value;
  }

  oneOf<T extends string>(name: string, values: readonly T[], fallback: T): T {
    const text = this.text(name);
    if (text === undefined) return fallback;
    const value = values.find((candidate) => candidate === text);
    if (value !== undefined) return value;
    this.report(name, {
      code: 'BadValue',
      message: `${JSON.stringify(text.slice(0, 100))} is none of ${values.join(', ')}`,
      suggestion: didYouMean(text, values),
    });
    return fallback;
  }

  /** The map under a field; undefined when absent or reported. */
  fields(name: string): Fields | undefined {
    const value = this.raw(name);
    return value === undefined
      ? undefined
      : openFields(this.#findings, { value, path: this.at(name) });
  }

  /** The items of a list under a field, each with its path; empty when absent or reported. */
  list(name: string): readonly Placed[] {
    const value = this.#typed(name, 'a list', (raw) => (isList(raw) ? raw : undefined)) ?? [];
    return value.map((item, index) => ({ value: item, path: `${this.at(name)}[${index}]` }));
  }

  /** The items of a list of maps under a field; items that are no map are reported and left out. */
  maps(name: string): readonly Fields[] {
    return this.list(name).flatMap((item) => openFields(this.#findings, item) ?? []);
  }

  /** Reports every field that was never asked for. Gives back the known ones that these seem to mean. */
  end(): ReadonlySet<string> {
    const meant = new Set<string>();
    for (const name of Object.keys(this.#value)) {
      if (this.#known.has(name)) continue;
      this.report(name, {
        code: 'UnknownField',
        message: 'no such field',
        suggestion: didYouMean(name, this.#known) ?? this.#allowed(),
      });
      const known = nearestName(name, this.#known);
      if (known === undefined) continue;
      meant.add(known);
      this.#findings.explainMissing(this.at(known));
    }
    return meant;
  }

  #allowed(): string | undefined {
    const names = [...this.#known].sort();
    return names.length === 0 || names.length > 12 ? undefined : `known here: ${names.join(', ')}`;
  }

  #missing(name: string): void {
    this.report(name, { code: 'MissingField', message: 'is needed' });
  }

  #typed<T>(name: string, wanted: string, read: (value: Json) => T | undefined): T | undefined {
    const raw = this.raw(name);
    if (raw === undefined) return undefined;
    const value = read(raw);
    if (value === undefined) {
      this.report(name, { code: 'WrongType', message: `needs ${wanted}, not ${typeName(raw)}` });
    }
    return value;
  }

  #within(name: string, value: number, { min, max }: Bounds, unit = ''): boolean {
    if (value >= min && value <= max) return true;
    const message = `${value}${unit} is not between ${min} and ${max}${unit}`;
    this.report(name, { code: 'BadValue', message });
    return false;
  }

  #parsed(name: string, parse: () => number): number | undefined {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof EtlError)) throw error;
      const message = error.message.replace(`${name}: `, '');
      this.report(name, { code: 'BadValue', message });
      return undefined;
    }
  }
}
