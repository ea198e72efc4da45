// Turns fields into other types. What can not be turned without losing something fails its record.

import { formatTimestamp, parseJson, parseTimestamp, timestampOfMs } from '@etl-router/core';
import { type AnyConnector, defineConnector } from '../connector-type.ts';
import { JsonTransform, recordError } from './json-transform.ts';
import { getAt, type JsonMap, parsePath, setIn, toText } from './path.ts';
import { readPathMap } from './read.ts';

export const castTypes = [
  'string',
  'int',
  'int64',
  'float',
  'float64',
  'bool',
  'timestamp',
  'date',
  'json',
  'bytes',
] as const;
export type CastType = (typeof castTypes)[number];

interface CastSettings {
  readonly casts: readonly (readonly [string, string])[];
}

/** `cast`. */
export const castTransform: AnyConnector = defineConnector<CastSettings>({
  kind: 'transform',
  type: 'cast',
  settings: [
    {
      name: 'casts',
      type: 'map of path to type',
      fallback: 'required',
      help: `Types are ${castTypes.join(', ')}. Null and missing fields are left alone.`,
    },
  ],
  read: (fields) => {
    const casts = readPathMap(fields, 'casts', (text) =>
      castTypes.includes(text as CastType)
        ? undefined
        : `${JSON.stringify(text)} is none of ${castTypes.join(', ')}`,
    );
    if (casts.length === 0) fields.report('casts', { code: 'MissingField', message: 'is needed' });
    return { casts };
  },
  capabilities: () => ({ deterministic: true }),
  create: ({ casts }) => {
    const steps = casts.map(([path, type]) => ({
      name: path,
      path: parsePath(path),
      type: type as CastType,
    }));
    return new JsonTransform(() => (value) => {
      let result: JsonMap = value;
      for (const { name, path, type } of steps) {
        const before = getAt(result, path);
        if (before === undefined || before === null) continue;
        const after = castValue(before, type);
        if (after === undefined)
          throw recordError(
            'CAST_FAILED',
            `${name}: a ${typeof before} can not become ${type} without losing something`,
          );
        if (after === before) continue;
        if (result === value) result = { ...value };
        setIn(result, path, after);
      }
      return result;
    });
  },
});

/** The value as another type; undefined when that would lose something. Whole numbers beyond 2^53 stay exact. */
export function castValue(value: unknown, type: CastType): unknown {
  switch (type) {
    case 'string':
      return toText(value);
    case 'int':
    case 'int64':
      return toInteger(value);
    case 'float':
    case 'float64':
      return toNumber(value);
    case 'bool':
      return toBoolean(value);
    case 'timestamp':
      return toTimestamp(value);
    case 'date':
      return toTimestamp(value)?.slice(0, 10);
    case 'json':
      return toJson(value);
    case 'bytes':
      return typeof value === 'string' ? Buffer.from(value).toString('base64') : undefined;
  }
}

function toInteger(value: unknown): number | bigint | undefined {
  if (typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value)))
    return inInt64(BigInt(value));
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'string' || !/^\s*[+-]?\d{1,19}\s*$/.test(value)) return undefined;
  return inInt64(BigInt(value.trim().replace('+', '')));
}

function inInt64(value: bigint): number | bigint | undefined {
  if (BigInt.asIntN(64, value) !== value) return undefined;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function toNumber(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return BigInt(Number(value)) === value ? Number(value) : undefined;
  if (typeof value !== 'string' || !/^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*$/.test(value))
    return undefined;
  const number = Number(value);
  if (!Number.isFinite(number)) return undefined;
  const whole = /^\s*[+-]?\d+\s*$/.test(value) ? BigInt(value.trim().replace('+', '')) : undefined;
  return whole === undefined || BigInt(number) === whole ? number : undefined;
}

function toBoolean(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (value === 1 || value === 'true' || value === '1') return true;
  return value === 0 || value === 'false' || value === '0' ? false : undefined;
}

const dateAndTime =
  /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?)?([Zz]|[+-]\d\d:?\d\d)?$/;

/** Milliseconds since the Unix epoch, or text with a date, become RFC 3339 in UTC; without a zone it is UTC already. */
function toTimestamp(value: unknown): string | undefined {
  if (typeof value === 'number') {
    const isInRange = Math.abs(value) <= 8.64e15 && Number.isInteger(value);
    const text = isInRange ? formatTimestamp(timestampOfMs(value)) : '';
    return parseTimestamp(text) === undefined ? undefined : text;
  }
  const match = typeof value === 'string' ? dateAndTime.exec(value) : null;
  if (match === null) return undefined;
  const [, date = '', minutes = '00:00', seconds = ':00', zone = 'Z'] = match;
  const offset = zone.length === 5 ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone;
  const time = parseTimestamp(`${date}T${minutes}${seconds}${offset}`);
  return time === undefined ? undefined : formatTimestamp(time);
}

function toJson(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  try {
    return parseJson(Buffer.from(value));
  } catch {
    return undefined;
  }
}
