// Reads dates and times from ISO 8601 text, exactly and without Date: columns hold more digits than a millisecond and
// a wrong day must be refused, not rolled over. Called once a value, so it reads character codes in place.

/** A moment or a local time, as written. */
export interface ParsedInstant {
  /** Seconds since 1970-01-01T00:00:00, in UTC where `zoned`. */
  readonly seconds: number;
  readonly nanos: number;
  /** True when the text names its offset from UTC. */
  readonly zoned: boolean;
}

const zero = 48;
const digitsPerMonth = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/** Days since 1970-01-01 of a date of the proleptic Gregorian calendar (Hinnant, days_from_civil). */
export function daysOfDate(year: number, month: number, day: number): number {
  const shifted = month <= 2 ? year - 1 : year;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  return era * 146_097 + dayOfEra + dayOfYear - 719_468;
}

/** `YYYY-MM-DD` as days since 1970-01-01; undefined for anything else. */
export function parseDate(text: string): number | undefined {
  return text.length === 10 ? dateAt(text) : undefined;
}

/** `HH:MM[:SS[.f]]` as seconds and nanoseconds of the day; undefined for anything else. */
export function parseTimeOfDay(text: string): { seconds: number; nanos: number } | undefined {
  const time = timeAt(text, 0);
  return time !== undefined && time.end === text.length ? time : undefined;
}

/** `YYYY-MM-DD(T| )HH:MM[:SS[.f]][Z|±HH:MM]`, at most nine digits of fraction; undefined for anything else. */
export function parseInstant(text: string): ParsedInstant | undefined {
  const separator = text.charCodeAt(10);
  if (separator !== 84 && separator !== 32 && separator !== 116) return undefined;
  const days = dateAt(text);
  if (days === undefined) return undefined;
  const time = timeAt(text, 11);
  if (time === undefined) return undefined;
  const seconds = days * 86_400 + time.seconds;
  if (time.end === text.length) return { seconds, nanos: time.nanos, zoned: false };
  const offset = offsetAt(text, time.end);
  return offset === undefined
    ? undefined
    : { seconds: seconds - offset, nanos: time.nanos, zoned: true };
}

function dateAt(text: string): number | undefined {
  if (text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return undefined;
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2);
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  if (!(year >= 1 && month >= 1 && month <= 12 && day >= 1)) return undefined;
  if (day > (digitsPerMonth[month - 1] as number)) return undefined;
  if (month === 2 && day === 29 && (year % 4 !== 0 || (year % 100 === 0 && year % 400 !== 0))) {
    return undefined;
  }
  return daysOfDate(year, month, day);
}

interface TimeAt {
  readonly seconds: number;
  readonly nanos: number;
  readonly end: number;
}

function timeAt(text: string, at: number): TimeAt | undefined {
  if (text.charCodeAt(at + 2) !== 58) return undefined;
  const hour = twoDigits(text, at);
  const minute = twoDigits(text, at + 3);
  if (!(hour <= 23 && minute <= 59)) return undefined;
  let end = at + 5;
  let second = 0;
  let nanos = 0;
  if (text.charCodeAt(end) === 58) {
    second = twoDigits(text, end + 1);
    if (!(second <= 59)) return undefined;
    end += 3;
    if (text.charCodeAt(end) === 46) {
      const from = end + 1;
      end = from;
      while (end < text.length && isDigit(text.charCodeAt(end))) {
        nanos = nanos * 10 + text.charCodeAt(end++) - zero;
      }
      if (end === from || end - from > 9) return undefined;
      nanos *= 10 ** (9 - (end - from));
    }
  }
  return { seconds: hour * 3600 + minute * 60 + second, nanos, end };
}

/** Seconds east of UTC of the zone that ends the text. */
function offsetAt(text: string, at: number): number | undefined {
  const sign = text.charCodeAt(at);
  if (sign === 90 || sign === 122) return text.length === at + 1 ? 0 : undefined;
  if ((sign !== 43 && sign !== 45) || text.length !== at + 6 || text.charCodeAt(at + 3) !== 58) {
    return undefined;
  }
  const hours = twoDigits(text, at + 1);
  const minutes = twoDigits(text, at + 4);
  if (!(hours <= 23 && minutes <= 59)) return undefined;
  return (sign === 45 ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/** The number of two digits; NaN when they are none, which every comparison above refuses. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - zero;
  const ones = text.charCodeAt(at + 1) - zero;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN;
}

function isDigit(code: number): boolean {
  return code >= zero && code <= zero + 9;
}
