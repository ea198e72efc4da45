// Waiting for a cluster to become what is claimed of it. Nothing else in the tests waits.

import { sleep, systemClock } from '@etl-router/core';

export interface Patience {
  readonly timeoutMs?: number;
  readonly everyMs?: number;
  /** One look may take as long as there is time left, and this long where little is. */
  readonly lookMs?: number;
}

/** The time for something is up. */
export class OutOfTimeError extends Error {}

/** What `act` answers, unless that takes longer; what it does then goes on unheard. */
export async function within<T>(
  timeoutMs: number,
  what: string,
  act: () => Promise<T>,
): Promise<T> {
  let cancel = (): void => {};
  const late = new Promise<never>((_, reject) => {
    cancel = systemClock.after(timeoutMs, () =>
      reject(new OutOfTimeError(`not within ${timeoutMs / 1000} s: ${what}`)),
    );
  });
  try {
    return await Promise.race([act(), late]);
  } finally {
    cancel();
  }
}

const lookDefaultMs = 30_000;

/**
 * Asks until `look` answers something but undefined and false. Its errors count as "not yet"; the last one, or what
 * was seen last, is told when the time is up.
 */
export async function eventually<T>(
  claim: string,
  look: () => Promise<T | undefined | false>,
  { timeoutMs = 90_000, everyMs = 500, lookMs = lookDefaultMs }: Patience = {},
): Promise<T> {
  const startedMs = systemClock.monotonicMs();
  let last: unknown;
  for (;;) {
    try {
      const leftMs = startedMs + timeoutMs - systemClock.monotonicMs();
      const seen = await within(Math.max(leftMs, lookMs), 'an answer', look);
      if (seen !== undefined && seen !== false) return seen;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (systemClock.monotonicMs() - startedMs > timeoutMs) {
      const why = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`not within ${timeoutMs / 1000} s: ${claim}${why}`, { cause: last });
    }
    await sleep(systemClock, everyMs);
  }
}

/** Asks for a while and throws when `look` ever answers a complaint. */
export async function always(
  claim: string,
  look: () => Promise<string | undefined>,
  { timeoutMs = 10_000, everyMs = 500, lookMs = lookDefaultMs }: Patience = {},
): Promise<void> {
  const startedMs = systemClock.monotonicMs();
  while (systemClock.monotonicMs() - startedMs < timeoutMs) {
    const complaint = await within(lookMs, claim, look);
    if (complaint !== undefined) throw new Error(`${claim}: ${complaint}`);
    await sleep(systemClock, everyMs);
  }
}

/** What `act` answers, and how long it took. */
export async function timed<T>(act: () => Promise<T>): Promise<{ value: T; tookMs: number }> {
  const startedMs = systemClock.monotonicMs();
  const value = await act();
  return { value, tookMs: Math.round(systemClock.monotonicMs() - startedMs) };
}
