// Event time: how far it has come in a lane, and in all lanes of a pipeline. A lane's watermark is the latest
// event time it has resolved, held back by the earliest that is still unresolved: it never passes a record that is on
// its way. It never goes back within an epoch. Pure: the caller says what time it is.

/** Event times of one range as it was read. */
interface Span {
  readonly minMs: number;
  readonly maxMs: number;
}

/** The event time of one lane. Ranges come and are resolved in the same order. */
export class LaneWatermark {
  #spans: (Span | undefined)[] = [];
  #head = 0;
  #seenMs: number | undefined;
  #valueMs: number | undefined;
  #lastActiveMs: number;

  constructor(initialMs: number | undefined, nowMs: number) {
    this.#valueMs = initialMs;
    this.#seenMs = initialMs;
    this.#lastActiveMs = nowMs;
  }

  /** A range was read; undefined: none of its records has an event time. */
  push(span: Span | undefined, nowMs: number): void {
    this.#spans.push(span);
    this.#lastActiveMs = nowMs;
  }

  /** The oldest range was resolved. */
  pop(): void {
    const span = this.#spans[this.#head];
    this.#spans[this.#head++] = undefined;
    if (this.#head > 32 && this.#head * 2 > this.#spans.length) {
      this.#spans = this.#spans.slice(this.#head);
      this.#head = 0;
    }
    if (span !== undefined) this.#seenMs = Math.max(this.#seenMs ?? span.maxMs, span.maxMs);
    this.#advance();
  }

  /** The source promises that no earlier event time follows what it has given so far. */
  promise(ms: number): void {
    if (this.#head < this.#spans.length) return;
    this.#seenMs = Math.max(this.#seenMs ?? ms, ms);
    this.#advance();
  }

  /** Undefined until an event time was resolved. */
  get valueMs(): number | undefined {
    return this.#valueMs;
  }

  /** Nothing in flight, and nothing came for `thresholdMs`. */
  isIdle(thresholdMs: number, nowMs: number): boolean {
    return this.#head === this.#spans.length && nowMs - this.#lastActiveMs >= thresholdMs;
  }

  #advance(): void {
    let candidate = this.#seenMs;
    if (candidate === undefined) return;
    for (let index = this.#head; index < this.#spans.length; index++) {
      const span = this.#spans[index];
      if (span !== undefined && span.minMs < candidate) candidate = span.minMs;
    }
    this.#valueMs = Math.max(this.#valueMs ?? candidate, candidate);
  }
}

/** The watermark of a pipeline: the minimum over its lanes, those left out that are idle or ended. */
export class PipelineWatermark {
  readonly #idleThresholdMs: number;
  #valueMs: number | undefined;

  constructor(idleThresholdMs: number) {
    this.#idleThresholdMs = idleThresholdMs;
  }

  /** Looks at the lanes again. Unknown while a lane that is not idle has no watermark yet, but never taken back. */
  update(lanes: Iterable<LaneWatermark>, nowMs: number): number | undefined {
    let lowest: number | undefined;
    for (const lane of lanes) {
      if (lane.isIdle(this.#idleThresholdMs, nowMs)) continue;
      const { valueMs } = lane;
      if (valueMs === undefined) return this.#valueMs;
      if (lowest === undefined || valueMs < lowest) lowest = valueMs;
    }
    if (lowest !== undefined && (this.#valueMs === undefined || lowest > this.#valueMs)) {
      this.#valueMs = lowest;
    }
    return this.#valueMs;
  }

  get valueMs(): number | undefined {
    return this.#valueMs;
  }
}

/** What to do with a record of a given event time. */
export function isLate(
  eventMs: number,
  watermarkMs: number | undefined,
  allowedLatenessMs: number,
): boolean {
  return watermarkMs !== undefined && eventMs < watermarkMs - allowedLatenessMs;
}
