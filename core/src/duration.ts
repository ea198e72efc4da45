// Durations as people write them in manifests and settings: the Gateway API's format (GEP-2257), such as `1m30s`.
// Inside the product a duration is a number of milliseconds whose name ends in Ms; nothing else crosses.

import { EtlError } from './errors.ts';

const unitMs = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const;
const whole = /^(?:\d{1,5}(?:h|ms|m|s)){1,4}$/;
const part = /(\d+)(h|ms|m|s)/g;

/**
 * Milliseconds of a duration: one to four numbers of at most five digits, each with `h`, `m`, `s` or `ms`.
 * Throws ETL_INVALID_ARGUMENT that names `field`.
 */
export function parseDuration(text: string, field = 'duration'): number {
  if (!whole.test(text)) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `${field}: ${durationProblem(text)}`, {
      details: { field },
    });
  }
  let totalMs = 0;
  for (const [, count, unit] of text.matchAll(part)) {
    totalMs += Number(count) * unitMs[unit as keyof typeof unitMs];
  }
  return totalMs;
}

/** The shortest duration text of a whole number of milliseconds (0 to 99999h); {@link parseDuration} reverses it. */
export function formatDuration(ms: number): string {
  if (!Number.isSafeInteger(ms) || ms < 0 || ms >= 100_000 * unitMs.h) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `${ms} ms is not a duration from 0 to 99999h`);
  }
  if (ms === 0) return '0s';
  let rest = ms;
  let text = '';
  for (const unit of ['h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(rest / unitMs[unit]);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * unitMs[unit];
  }
  return text;
}

function durationProblem(text: string): string {
  const shown = JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
  if (/^\d{1,5}$/.test(text)) return `${shown} has no unit; write ${text}s or ${text}ms`;
  if (text.startsWith('-')) return `${shown} is negative`;
  if (/^\d*\.\d+/.test(text)) return `${shown} has a fraction; use a smaller unit, such as 1500ms`;
  if (/\d{6,}/.test(text))
    return `${shown} has a number of more than five digits; use a larger unit`;
  return `${shown} is not a duration such as 200ms, 30s, 1m30s or 2h`;
}
