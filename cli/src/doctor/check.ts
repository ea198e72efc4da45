// What a check of doctor says: how bad it is, what was seen, and what to do about it.

import { isEtlError, toEtlError } from '@etl-router/core';
import { doctorHint } from '../route.ts';

export type Level = 'ok' | 'warn' | 'fail';

/** One line of doctor's report. */
export interface Check {
  /** What was looked at, such as `operator` or `shop/main pods`. */
  readonly name: string;
  readonly level: Level;
  /** What was seen. */
  readonly message: string;
  /** What to do; only of what is not ok. */
  readonly advice?: string;
}

export function ok(name: string, message: string): Check {
  return { name, level: 'ok', message };
}

export function warn(name: string, message: string, advice: string): Check {
  return { name, level: 'warn', message, advice };
}

export function fail(name: string, message: string, advice: string): Check {
  return { name, level: 'fail', message, advice };
}

/** Says how it is with something that has several flaws: the worst level, every message and every advice. */
export function worst(name: string, message: string, flaws: readonly Check[]): Check {
  if (flaws.length === 0) return ok(name, message);
  const level = flaws.some((flaw) => flaw.level === 'fail') ? 'fail' : 'warn';
  const advices = new Set(flaws.flatMap(({ advice }) => (advice === undefined ? [] : [advice])));
  const said = flaws.map((flaw) => flaw.message).join('; ');
  return { name, level, message: said, advice: [...advices].join('; ') };
}

/** An error without its pointer to doctor, which is the one who tells it. */
export function toldHere(message: string): string {
  return message.replaceAll(`; ${doctorHint}`, '');
}

/**
 * Runs a check; what can not be looked at is a warning and stops nothing else. An interruption is passed on, and so is a
 * defect of etlctl.
 */
export async function attempt(
  name: string,
  run: () => Promise<Check | readonly Check[]>,
): Promise<readonly Check[]> {
  try {
    const found = await run();
    return 'level' in found ? [found] : found;
  } catch (error) {
    const { code, message } = toEtlError(error);
    if (!isEtlError(error) || code === 'ETL_CANCELLED' || code === 'ETL_INTERNAL') throw error;
    const advice =
      code === 'ETL_PERMISSION_DENIED' || code === 'ETL_UNAUTHENTICATED'
        ? 'ask with an account that may look at it, or leave it to somebody who may'
        : 'run etlctl doctor again; if it stays, look at the API server and at the pods by kubectl';
    return [warn(name, `not checked: ${toldHere(message)}`, advice)];
  }
}

/** Apart by less than this, in milliseconds, clocks are as good as equal: answers tell the time to the second. */
const clockWarnMs = 5000;
const clockFailMs = 120_000;

/** How far the clock of this machine is from that of whoever answered. */
export function checkClock(
  name: string,
  whose: string,
  nowMs: number,
  theirMs: number | undefined,
): Check {
  if (theirMs === undefined) return ok(name, `${whose} does not tell the time`);
  const apartMs = nowMs - theirMs;
  const seconds = Math.round(Math.abs(apartMs) / 1000);
  if (Math.abs(apartMs) < clockWarnMs) return ok(name, `this machine and ${whose} agree`);
  const message = `this machine is ${seconds} s ${apartMs > 0 ? 'ahead of' : 'behind'} ${whose}`;
  const advice = 'set the clocks by NTP: tokens and certificates are judged by them';
  return Math.abs(apartMs) < clockFailMs
    ? warn(name, message, advice)
    : fail(name, message, advice);
}
