// Reading what several transforms have in their settings.

import type { Fields, JsonObject } from '@etl-router/pipeline';

const pathPattern = /^[^.]+(\.[^.]+){0,15}$/;
const entriesMax = 1000;

/** A list of dotted paths. */
export function readPaths(fields: Fields, name: string): readonly string[] {
  const items = fields.list(name);
  if (items.length > entriesMax)
    fields.report(name, { code: 'TooLarge', message: `has more than ${entriesMax} entries` });
  return items.flatMap(({ value, path }) => {
    if (typeof value === 'string' && pathPattern.test(value)) return [value];
    fields.report(name, { code: 'BadValue', message: `${path} is no path such as address.city` });
    return [];
  });
}

/** A map from paths to texts; `accepts` says what else is wrong with a text. */
export function readPathMap(
  fields: Fields,
  name: string,
  accepts: (text: string) => string | undefined,
): readonly (readonly [string, string])[] {
  const map = fields.raw(name);
  if (map === undefined) return [];
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    fields.report(name, { code: 'WrongType', message: 'needs a map' });
    return [];
  }
  return Object.entries(map as JsonObject).flatMap(([path, value]) => {
    const fault = typeof value === 'string' ? accepts(value) : 'needs text';
    const wrong = pathPattern.test(path) ? fault : 'is no path such as address.city';
    if (wrong === undefined) return [[path, value as string] as const];
    fields.report(name, { code: 'BadValue', message: `${JSON.stringify(path)}: ${wrong}` });
    return [];
  });
}

/** Says what is wrong with a path. */
export function pathFault(text: string): string | undefined {
  return pathPattern.test(text)
    ? undefined
    : `${JSON.stringify(text)} is no path such as address.city`;
}
