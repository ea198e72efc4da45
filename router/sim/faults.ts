// The faults of a seed as a list: what happens when, each with numbers of its own, so that one of them can be left out
// and the others stay as they are.

import { seededRandom } from '@etl-router/core';
import { mixSeed, type Profile } from './profile.ts';

export const faultKinds = [
  'partition',
  'crash',
  'pause',
  'stall',
  'wipe',
  'outage',
  'restart',
  'deposition',
  'churn',
  'transfer',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  /** From 1, in order of time. */
  readonly number: number;
  readonly kind: FaultKind;
  /** After the unsafe phase began. */
  readonly atMs: number;
  /** Of everything that is drawn for it. */
  readonly seed: number;
}

/** What is wrong all the time, and can be made right. */
export const weatherKinds = [
  'loss',
  'duplication',
  'disorder',
  'gathering',
  'disk errors',
  'clocks',
  'slow disk',
  'slow rows',
] as const;
export type WeatherKind = (typeof weatherKinds)[number];

/** Of all that a seed would do, what is done: everything, unless it is said. */
export interface Plan {
  /** Numbers of the faults that happen. */
  readonly faults?: ReadonlySet<number> | undefined;
  readonly without?: ReadonlySet<WeatherKind> | undefined;
}

export function drawFaults(seed: number, profile: Profile): readonly Fault[] {
  const means: { readonly [kind in FaultKind]: number } = {
    partition: profile.partitionS,
    crash: profile.crashS,
    pause: profile.pauseS,
    stall: profile.stallS,
    wipe: profile.wipeS,
    outage: profile.outageS,
    restart: profile.restartS,
    deposition: profile.depositionS,
    churn: profile.churnS,
    transfer: profile.transferS,
  };
  const faults: Omit<Fault, 'number'>[] = [];
  for (const [at, kind] of faultKinds.entries()) {
    const meanMs = means[kind] * 1000;
    if (meanMs === Number.POSITIVE_INFINITY) continue;
    const random = seededRandom(mixSeed(seed, 1000 + at));
    for (let atMs = 0; ; ) {
      atMs += -Math.log(1 - random.next()) * meanMs;
      if (atMs >= profile.maxMs) break;
      faults.push({ kind, atMs, seed: mixSeed(seed, 100_000 + at * 10_000 + faults.length) });
    }
  }
  faults.sort((a, b) => a.atMs - b.atMs);
  return faults.map((fault, at) => ({ number: at + 1, ...fault }));
}

/** The profile without some of what is wrong all the time. */
export function calmer(profile: Profile, without: ReadonlySet<WeatherKind> | undefined): Profile {
  const calm: { readonly [kind in WeatherKind]: Partial<Profile> } = {
    loss: { loss: 0 },
    duplication: { duplication: 0 },
    disorder: { isReordered: false },
    gathering: { gatherMs: 0 },
    'disk errors': { diskErrors: 0 },
    clocks: { isClockSkewed: false },
    'slow disk': { syncMs: 0.1 },
    'slow rows': { applyMs: 0 },
  };
  return Object.assign({}, profile, ...Array.from(without ?? [], (kind) => calm[kind])) as Profile;
}
