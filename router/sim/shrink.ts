// Makes a failing seed smaller: leaves out faults as long as it still fails in the same way, halves first, then one by
// one; then what is wrong all the time.

import { type Plan, type WeatherKind, weatherKinds } from './faults.ts';

/** Says whether the seed still fails so with no more than that. */
export type StillFails = (plan: Plan) => Promise<boolean>;

export interface Shrunk {
  readonly plan: Required<{ readonly [Name in keyof Plan]: NonNullable<Plan[Name]> }>;
  /** How often it was run. */
  readonly runs: number;
}

/** `faults` are the numbers of those that happen before it fails. Runs the seed at most `maxRuns` times. */
export async function shrink(
  faults: readonly number[],
  stillFails: StillFails,
  maxRuns: number,
): Promise<Shrunk> {
  let runs = 0;
  let kept = faults;
  let without: ReadonlySet<WeatherKind> = new Set();
  const fails = async (numbers: readonly number[], calm: typeof without): Promise<boolean> => {
    if (runs >= maxRuns) return false;
    runs++;
    return await stillFails({ faults: new Set(numbers), without: calm });
  };
  if (kept.length > 0 && (await fails([], without))) kept = [];
  for (let size = Math.ceil(kept.length / 2); size >= 1; size = Math.floor(size / 2)) {
    for (let at = 0; at < kept.length; ) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + size)];
      if (fewer.length < kept.length && (await fails(fewer, without))) kept = fewer;
      else at += size;
    }
  }
  for (const kind of weatherKinds) {
    const calmer = new Set([...without, kind]);
    if (await fails(kept, calmer)) without = calmer;
  }
  return { plan: { faults: new Set(kept), without }, runs };
}
