// How long records take from their reading until they are resolved, as a histogram. It costs one comparison or a few
// for each batch that was read, and never a record's content.

/** Upper bounds in seconds. */
export const latencyBounds: readonly number[] = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
];

/** Latencies since the run began. */
export interface LatencySnapshot {
  /** Records by bound, not cumulative: those up to each of {@link latencyBounds}, and those above the last. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

/** The latencies of one source. */
export class LatencyCounter {
  readonly #counts: number[] = Array.from({ length: latencyBounds.length + 1 }, () => 0);
  #sumSeconds = 0;

  /** Records that were read together and are resolved now. */
  add(records: number, durationMs: number): void {
    const seconds = durationMs / 1000;
    const found = latencyBounds.findIndex((bound) => seconds <= bound);
    const at = found === -1 ? latencyBounds.length : found;
    this.#counts[at] = (this.#counts[at] as number) + records;
    this.#sumSeconds += records * seconds;
  }

  snapshot(): LatencySnapshot {
    return { counts: [...this.#counts], sumSeconds: this.#sumSeconds };
  }
}
