// Timestamps as text, by RFC 3339 with up to nine digits of a second. What is written is always in UTC and as short as
// the time allows, so that equal times have equal texts.

import type { Timestamp } from './record.ts';

const pattern =
  /^(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;
const secondsMin = -62_135_596_800;
const secondsMax = 253_402_300_799;

/** The text of a time, such as `2026-01-31T12:00:00.25Z`. */
export function formatTimestamp(time: Timestamp): string {
  const whole = new Date(time.seconds * 1000).toISOString().slice(0, 19);
  const fraction = String(time.nanos).padStart(9, '0').replace(/0+$/, '');
  return fraction === '' ? `${whole}Z` : `${whole}.${fraction}Z`;
}

/** The time of a text; what is beyond nine digits of a second is cut. Undefined when it is no time of years 1 to 9999. */
export function parseTimestamp(text: string): Timestamp | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, date = '', time = '', fraction = '', sign, hours = '0', minutes = '0'] = match;
  const whole = `${date}T${time}`;
  const local = Date.parse(`${whole}Z`);
  if (Number.isNaN(local) || new Date(local).toISOString().slice(0, 19) !== whole) return undefined;
  if (Number(hours) > 23 || Number(minutes) > 59) return undefined;
  const offset = (Number(hours) * 60 + Number(minutes)) * 60;
  const seconds = local / 1000 + (sign === '-' ? offset : -offset);
  if (seconds < secondsMin || seconds > secondsMax) return undefined;
  return { seconds, nanos: Number(fraction.slice(0, 9).padEnd(9, '0')) };
}
