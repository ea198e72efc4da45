// What holds at the place where the log is written, and which segment holds which entries. A new segment begins with
// it, so that the segments before can be released.

import { unreachable } from '@etl-router/core';
import type { Frame, LogBase } from './frames.ts';
import { logStart } from './log-types.ts';

/** Entries from `from` on, up to the next run's, are in `segment`. */
interface Run {
  readonly from: number;
  readonly segment: number;
}

/** The state of an empty log. */
export const emptyBase: LogBase = {
  hardState: { term: 0, vote: 0, commit: 0 },
  snapshot: logStart,
  compacted: logStart,
  firstSegment: 1,
  last: logStart,
};

/** State as of the last frame written or read. */
export class LogTail {
  #base: LogBase = emptyBase;
  #runs: Run[] = [];

  get base(): LogBase {
    return this.#base;
  }

  /** Takes a frame that stands in `segment` into account. */
  apply(frame: Frame, segment: number): void {
    switch (frame.kind) {
      case 'entry': {
        const { index, term } = frame.entry;
        while ((this.#runs.at(-1)?.from ?? 0) >= index) this.#runs.pop();
        if (this.#runs.at(-1)?.segment !== segment) this.#runs.push({ from: index, segment });
        this.#base = { ...this.#base, last: { index, term } };
        break;
      }
      case 'state':
        this.#base = { ...this.#base, hardState: frame.hardState };
        break;
      case 'snapshot':
        this.#base = { ...this.#base, snapshot: frame.position };
        break;
      case 'reset': {
        const { position } = frame;
        this.#runs = [];
        this.#base = { ...this.#base, snapshot: position, compacted: position, last: position };
        break;
      }
      case 'compact': {
        const { position, firstSegment } = frame;
        this.#runs = this.#runs.filter((run) => run.segment >= firstSegment);
        this.#base = { ...this.#base, compacted: position, firstSegment };
        break;
      }
      case 'base':
        this.#base = frame.base;
        break;
      case 'seal':
      case 'commit':
        break;
      default:
        unreachable(frame);
    }
  }

  /** The lowest segment needed when entries up to `index` are released, while `current` is being written. */
  neededFrom(index: number, current: number): number {
    if (index >= this.#base.last.index) return current;
    let needed = this.#runs[0]?.segment ?? current;
    for (const run of this.#runs) if (run.from <= index + 1) needed = run.segment;
    return needed;
  }
}
