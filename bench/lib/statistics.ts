// What a benchmark says about its rounds. Rounds are few and the machine is shared, so the middle one counts and
// the extremes are shown; nothing is averaged and nothing is thrown away.

/** The middle, the extremes and how many there were. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** The middle value, or the mean of the two middle ones. Throws for none or for what is not a number. */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of no values');
  if (!values.every((value) => Number.isFinite(value))) throw new RangeError('not a number');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}

/** Middle and extremes of a series. */
export function summarize(values: readonly number[]): Summary {
  return {
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    count: values.length,
  };
}

/**
 * How many times `ours` is `theirs`: the median of the rounds' own ratios. Round i of both ran one after the other,
 * so what slowed the machine down slowed both.
 */
export function ratioOfRounds(ours: readonly number[], theirs: readonly number[]): number {
  if (ours.length !== theirs.length) throw new RangeError('rounds come in pairs');
  return median(ours.map((value, round) => value / (theirs[round] as number)));
}

/** Rounded to `digits` significant digits, for people and for files. */
export function rounded(value: number, digits = 3): number {
  return Number(value.toPrecision(digits));
}
