// Decides whether a JSON value fits a column, and turns it into what the column stores. The rules are strict: a value
// that would be rounded, cut or guessed does not fit, and its record fails alone. FLOAT is the one type that rounds.

import { stringifyJsonText } from '@etl-router/core';
import { parseDate, parseInstant, parseTimeOfDay } from './instant.ts';
import type { ColumnType } from './type.ts';

/**
 * A stored value: boolean as itself; integers up to 32 bits, float, double and date (days) as number; wider integers,
 * decimal (unscaled), time (microseconds) and timestamp (in its unit) as bigint; text, uuid and json as string; bytes.
 */
export type Cell = boolean | number | bigint | string | Uint8Array;

/** The cell of a value that is there (neither null nor undefined); undefined when it does not fit. */
export type Converter = (value: unknown) => Cell | undefined;

/** Says what was found where a column's type was expected; never the value. */
export function describeValue(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number') {
    return Number.isInteger(value) ? 'an integer' : 'a number with a fraction';
  }
  if (typeof value === 'string') {
    return value.isWellFormed() ? 'a text' : 'a text with half a surrogate pair';
  }
  if (typeof value === 'bigint') return 'an integer beyond 2^53';
  return typeof value === 'boolean' ? 'a boolean' : 'an object';
}

/** The rules of a type. */
export function createConverter(type: ColumnType): Converter {
  switch (type.kind) {
    case 'boolean':
      return (value) => (typeof value === 'boolean' ? value : undefined);
    case 'integer':
      return type.bits <= 32 ? smallInteger(type.bits, type.signed) : wideInteger(type);
    case 'float':
      return (value) => {
        const number = toDouble(value);
        if (number === undefined) return undefined;
        return Number.isFinite(number) && !Number.isFinite(Math.fround(number))
          ? undefined
          : Math.fround(number);
      };
    case 'double':
      return toDouble;
    case 'decimal':
      return decimal(type.width, type.scale);
    case 'text':
      return (value) => (typeof value === 'string' && value.isWellFormed() ? value : undefined);
    case 'bytes':
      return (value) => (typeof value === 'string' ? fromBase64(value) : undefined);
    case 'date':
      return (value) => (typeof value === 'string' ? parseDate(value) : undefined);
    case 'time':
      return timeOfDay;
    case 'timestamp':
      return timestamp(type.digits, type.zoned);
    case 'uuid':
      return (value) =>
        typeof value === 'string' && uuidPattern.test(value) ? value.toLowerCase() : undefined;
    case 'json':
      return toJsonText;
  }
}

const integerPattern = /^-?\d{1,39}$/;

function smallInteger(bits: number, signed: boolean): Converter {
  const min = signed ? -(2 ** (bits - 1)) : 0;
  const max = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  return (value) => {
    const number = typeof value === 'string' && integerPattern.test(value) ? Number(value) : value;
    return typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max
      ? number
      : undefined;
  };
}

function wideInteger(type: {
  readonly bits: 64 | 128 | 8 | 16 | 32;
  readonly signed: boolean;
}): Converter {
  const min = type.signed ? -(1n << BigInt(type.bits - 1)) : 0n;
  const max = (1n << BigInt(type.signed ? type.bits - 1 : type.bits)) - 1n;
  const smallest = type.signed ? Number.MIN_SAFE_INTEGER : 0;
  return (value) => {
    if (typeof value === 'number') {
      return Number.isSafeInteger(value) && value >= smallest ? BigInt(value) : undefined;
    }
    let wide: bigint;
    if (typeof value === 'bigint') wide = value;
    else if (typeof value === 'string' && integerPattern.test(value)) wide = BigInt(value);
    else return undefined;
    return wide >= min && wide <= max ? wide : undefined;
  };
}

function toDouble(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return BigInt(Number(value)) === value ? Number(value) : undefined;
  if (value === 'NaN') return Number.NaN;
  if (value === 'Infinity') return Number.POSITIVE_INFINITY;
  return value === '-Infinity' ? Number.NEGATIVE_INFINITY : undefined;
}

const decimalText = /^(-?)(\d{1,39})(?:\.(\d{1,39}))?$/;
const exponentText = /^(-?\d(?:\.\d+)?)e([+-]\d+)$/;

/**
 * A JSON number was read as a double, which holds 15 significant digits for sure: one that shows more is refused, so
 * that the producer sends it as text.
 */
function decimal(width: number, scale: number): Converter {
  const limit = 10n ** BigInt(width);
  return (value) => {
    let text: string;
    if (typeof value === 'string') text = value;
    else if (typeof value === 'number') {
      text = plainDecimal(String(value));
      if (!Number.isSafeInteger(value) && significantDigits(text) > 15) return undefined;
    } else if (typeof value === 'bigint') text = String(value);
    else return undefined;
    const parts = decimalText.exec(text);
    if (parts === null) return undefined;
    const fraction = (parts[3] ?? '').replace(/0+$/, '');
    if (fraction.length > scale) return undefined;
    const unscaled = BigInt((parts[2] as string) + fraction.padEnd(scale, '0'));
    if (unscaled >= limit) return undefined;
    return parts[1] === '-' ? -unscaled : unscaled;
  };
}

/** A number's text without an exponent, where it is at most 39 places long. */
function plainDecimal(text: string): string {
  const parts = exponentText.exec(text);
  if (parts === null) return text;
  const exponent = Number(parts[2]);
  if (Math.abs(exponent) > 39) return text;
  const negative = text.startsWith('-');
  const [whole = '', fraction = ''] = (parts[1] as string).replace('-', '').split('.');
  const digits = whole + fraction;
  const point = whole.length + exponent;
  const plain =
    point <= 0
      ? `0.${'0'.repeat(-point)}${digits}`
      : point >= digits.length
        ? digits + '0'.repeat(point - digits.length)
        : `${digits.slice(0, point)}.${digits.slice(point)}`;
  return negative ? `-${plain}` : plain;
}

function significantDigits(text: string): number {
  return text
    .replace(/^-?0*\.?0*/, '')
    .replace('.', '')
    .replace(/0+$/, '').length;
}

const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function fromBase64(text: string): Uint8Array | undefined {
  return base64Pattern.test(text) ? Buffer.from(text, 'base64') : undefined;
}

function timeOfDay(value: unknown): bigint | undefined {
  const time = typeof value === 'string' ? parseTimeOfDay(value) : undefined;
  if (time === undefined || time.nanos % 1000 !== 0) return undefined;
  return BigInt(time.seconds * 1_000_000 + time.nanos / 1000);
}

const nanosecondsMin = -(1n << 63n) + 1n;
const nanosecondsMax = (1n << 63n) - 2n;

/** A local time has no place in a zoned column; an offset in an unzoned one is applied, giving UTC. */
function timestamp(digits: number, zoned: boolean): Converter {
  const perSecond = 10 ** digits;
  const nanosPerUnit = 10 ** (9 - digits);
  const wide = BigInt(perSecond);
  return (value) => {
    const instant = typeof value === 'string' ? parseInstant(value) : undefined;
    if (instant === undefined || (zoned && !instant.zoned)) return undefined;
    if (instant.nanos % nanosPerUnit !== 0) return undefined;
    const rest = instant.nanos / nanosPerUnit;
    const units = instant.seconds * perSecond + rest;
    if (Number.isSafeInteger(units)) return BigInt(units);
    const exact = BigInt(instant.seconds) * wide + BigInt(rest);
    return exact >= nanosecondsMin && exact <= nanosecondsMax ? exact : undefined;
  };
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** JSON.stringify escapes half surrogate pairs, so that the text is always well formed. */
function toJsonText(value: unknown): string {
  return stringifyJsonText(value);
}
