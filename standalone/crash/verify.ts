// Compares what a sink holds with what the source is known to have made. Contents are compared as multisets of
// (lane, sequence, checksum), never as counts: a lost record beside a doubled one must not look like a match.

import { createHash } from 'node:crypto';

/** One record as a sink holds it, in the sink's own order. */
export interface Observed {
  readonly lane: string;
  readonly seq: number;
  readonly sum: string;
}

/** What the source makes: lanes `0` to `lanes - 1`, each with sequences 0 to `recordsPerLane - 1`. */
export interface Truth {
  readonly seed: number;
  readonly lanes: number;
  readonly recordsPerLane: number;
}

export interface Verdict {
  readonly expected: number;
  readonly observed: number;
  /** In the truth, not in the sink. */
  readonly missing: number;
  /** In the sink more than once, each further time counted. */
  readonly duplicates: number;
  /** Records that come after one of their lane with a higher sequence, first occurrences only. */
  readonly reordered: number;
  /** Known lane and sequence, wrong checksum. */
  readonly corrupted: number;
  /** No record of the truth. */
  readonly phantoms: number;
}

/** The checksum of one record, as the generator source writes it. */
export function checksumOf(seed: number, lane: string, seq: number): string {
  return createHash('sha256').update(`${seed}/${lane}/${seq}`).digest('hex').slice(0, 16);
}

/** Reads every observed record once, in order. */
export function verify(truth: Truth, observed: Iterable<Observed>): Verdict {
  const times = new Map<string, Uint16Array>();
  const highest = new Map<string, number>();
  for (let lane = 0; lane < truth.lanes; lane++)
    times.set(String(lane), new Uint16Array(truth.recordsPerLane));
  let [count, duplicates, reordered, corrupted, phantoms] = [0, 0, 0, 0, 0];
  for (const { lane, seq, sum } of observed) {
    count++;
    const seen = times.get(lane);
    if (seen === undefined || !Number.isInteger(seq) || seq < 0 || seq >= truth.recordsPerLane) {
      phantoms++;
    } else if (sum !== checksumOf(truth.seed, lane, seq)) {
      corrupted++;
    } else if ((seen[seq] as number) > 0) {
      seen[seq] = (seen[seq] as number) + 1;
      duplicates++;
    } else {
      seen[seq] = 1;
      if (seq < (highest.get(lane) ?? -1)) reordered++;
      highest.set(lane, Math.max(seq, highest.get(lane) ?? -1));
    }
  }
  let missing = 0;
  for (const seen of times.values()) for (const times of seen) if (times === 0) missing++;
  return {
    expected: truth.lanes * truth.recordsPerLane,
    observed: count,
    missing,
    duplicates,
    reordered,
    corrupted,
    phantoms,
  };
}

/** True when a verdict keeps the promise: nothing missing, wrong or out of order, and duplicates within `bound`. */
export function keepsPromise(verdict: Verdict, bound: number): boolean {
  const { missing, reordered, corrupted, phantoms, duplicates } = verdict;
  return missing + reordered + corrupted + phantoms === 0 && duplicates <= bound;
}
