// What a benchmark is to bench/run.ts, and the one way of taking turns: round after round every contender runs once,
// so that a slow minute of the machine falls on all of them.

/** How the caller wants it run. */
export interface BenchOptions {
  readonly rounds: number;
  /** Shorter rounds and smaller inputs, to see that it works; its numbers mean little. */
  readonly quick: boolean;
}

/** One line of what must hold: a ratio, its bound, and what was compared. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
  /** The least that is acceptable; undefined where it is shown only. */
  readonly required?: number;
}

export interface BenchResult {
  /** What people read, before the ratios. */
  readonly text: string;
  readonly ratios: readonly Ratio[];
  /** Every round of every contender, by the contender's name, with the unit in the key. */
  readonly raw: { readonly [series: string]: readonly number[] };
  /** What else is needed to repeat it: versions, settings, sizes. */
  readonly settings: { readonly [name: string]: unknown };
}

/** A benchmark: `npm run bench -- name`. */
export interface Bench {
  /** One line for the list of names. */
  readonly about: string;
  readonly rounds: number;
  run(options: BenchOptions): Promise<BenchResult>;
}

/** Runs `contenders` in turn, `rounds` times after a first turn that does not count; returns their rounds by name. */
export async function takeTurns<T>(
  contenders: ReadonlyMap<string, () => T | Promise<T>>,
  rounds: number,
): Promise<Map<string, T[]>> {
  const results = new Map<string, T[]>();
  for (let round = -1; round < rounds; round++) {
    for (const [name, run] of contenders) {
      const result = await run();
      if (round >= 0) results.set(name, [...(results.get(name) ?? []), result]);
    }
  }
  return results;
}
