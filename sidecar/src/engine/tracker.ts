// Knows which sequences of one lane are in flight and how far the lane is resolved without a gap: that far, and no
// further, its position may be committed. It tracks ranges as they were read, not single records: each range counts
// the branches that still owe something of it. Pure.

import { assert } from '@etl-router/core';

/**
 * A promise to resolve something: every branch that takes a part holds it, and releases it when its part is stored,
 * filtered or dead-lettered. Whoever made the ticket owns the first hold.
 */
export interface Ticket {
  hold(): void;
  release(): void;
}

/** What the tracker is told about a range of sequences. */
export interface TrackedRange {
  readonly firstSequence: number;
  readonly count: number;
  readonly bytes: number;
  /** Position of its last record. */
  readonly position: Uint8Array;
  /** When it was read, by the monotonic clock; absent where nobody measures. */
  readonly readAtMs?: number;
}

class Range implements Ticket {
  readonly range: TrackedRange;
  readonly #tracker: LaneTracker;
  #holds = 1;

  constructor(tracker: LaneTracker, range: TrackedRange) {
    this.#tracker = tracker;
    this.range = range;
  }

  get resolved(): boolean {
    return this.#holds === 0;
  }

  hold(): void {
    assert(this.#holds > 0, 'a resolved range is never held again');
    this.#holds++;
  }

  release(): void {
    assert(this.#holds > 0, 'a range is released once for each hold');
    if (--this.#holds === 0) this.#tracker.settle();
  }
}

/** The ranges of one lane and epoch that are in flight, in a ring. */
export class LaneTracker {
  readonly #onResolved: (range: TrackedRange) => void;
  #ring: (Range | undefined)[] = Array.from({ length: 16 });
  #head = 0;
  #length = 0;
  #nextSequence = 0;
  #records = 0;
  #bytes = 0;
  #position: Uint8Array | undefined;

  /** `onResolved` is told each range as the gapless prefix takes it in, in order. */
  constructor(onResolved: (range: TrackedRange) => void = () => {}) {
    this.#onResolved = onResolved;
  }

  /** The sequence that the next range starts with. */
  get nextSequence(): number {
    return this.#nextSequence;
  }

  /** Records between the gapless prefix and the last that was added. */
  get records(): number {
    return this.#records;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Ranges in flight. */
  get ranges(): number {
    return this.#length;
  }

  /** Last position of the gapless resolved prefix; undefined until the first range is resolved. */
  get position(): Uint8Array | undefined {
    return this.#position;
  }

  /** The oldest range in flight: what keeps the position back. */
  get front(): Ticket | undefined {
    return this.#ring[this.#head];
  }

  /** Adds the range that follows the last one. Its ticket has one hold, the caller's. */
  add(range: TrackedRange): Ticket {
    assert(range.firstSequence === this.#nextSequence, 'sequences are dense');
    assert(range.count > 0, 'a range holds a record');
    if (this.#length === this.#ring.length) this.#grow();
    const entry = new Range(this, range);
    this.#ring[(this.#head + this.#length) & (this.#ring.length - 1)] = entry;
    this.#length++;
    this.#nextSequence += range.count;
    this.#records += range.count;
    this.#bytes += range.bytes;
    return entry;
  }

  /** Takes resolved ranges off the front. Tickets call it. */
  settle(): void {
    while (this.#length > 0) {
      const front = this.#ring[this.#head] as Range;
      if (!front.resolved) return;
      this.#ring[this.#head] = undefined;
      this.#head = (this.#head + 1) & (this.#ring.length - 1);
      this.#length--;
      this.#records -= front.range.count;
      this.#bytes -= front.range.bytes;
      this.#position = front.range.position;
      this.#onResolved(front.range);
    }
  }

  /** Ends a lane that was drained; a bug if something is still in flight. An aborted lane just drops its tracker. */
  close(): void {
    assert(
      this.#length === 0,
      `tracker dropped with ${this.#records} records unresolved from sequence ${this.#nextSequence - this.#records}`,
    );
  }

  #grow(): void {
    const size = this.#ring.length;
    const ring: (Range | undefined)[] = Array.from({ length: size * 2 });
    for (let index = 0; index < this.#length; index++) {
      ring[index] = this.#ring[(this.#head + index) & (size - 1)];
    }
    this.#ring = ring;
    this.#head = 0;
  }
}
