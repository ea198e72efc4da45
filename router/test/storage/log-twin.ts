// The log as anyone would write it first: an array and a few variables. What the log on disk must agree with.

import type {
  Entry,
  HardState,
  LogPosition,
  LogReader,
  LogRecord,
} from '../../src/storage/log-types.ts';

/** Everything one can ask a log, as plain values. */
export interface LogImage {
  readonly term: number;
  readonly vote: number;
  readonly snapshot: LogPosition;
  readonly compacted: LogPosition;
  readonly lastIndex: number;
  /** `index/term/type/data in hexadecimal`. */
  readonly entries: readonly string[];
}

export function imageOf(log: LogReader): LogImage {
  const { hardState, snapshot, compacted, firstIndex, lastIndex } = log;
  const entries =
    lastIndex < firstIndex ? [] : log.entries(firstIndex, lastIndex + 1, Number.MAX_SAFE_INTEGER);
  return {
    term: hardState.term,
    vote: hardState.vote,
    snapshot,
    compacted,
    lastIndex,
    entries: entries.map(entryText),
  };
}

export function entryText({ index, term, type, data }: Entry): string {
  return `${index}/${term}/${type}/${Buffer.from(data).toString('hex')}`;
}

/** A step that a twin and a log both take. */
export type Step =
  | { readonly kind: 'append'; readonly record: LogRecord }
  | { readonly kind: 'compact'; readonly index: number };

/** The twin. */
export class LogTwin {
  entries: Entry[] = [];
  hardState: HardState = { term: 0, vote: 0, commit: 0 };
  snapshot: LogPosition = { index: 0, term: 0 };
  compacted: LogPosition = { index: 0, term: 0 };

  get lastIndex(): number {
    return this.entries.at(-1)?.index ?? this.compacted.index;
  }

  term(index: number): number {
    if (index === this.compacted.index) return this.compacted.term;
    return this.entries.find((entry) => entry.index === index)?.term ?? -1;
  }

  take(step: Step): void {
    if (step.kind === 'compact') {
      this.compacted = { index: step.index, term: this.term(step.index) };
      this.entries = this.entries.filter(({ index }) => index > step.index);
      return;
    }
    const { hardState, entries = [], snapshot } = step.record;
    if (hardState !== undefined) this.hardState = hardState;
    if (snapshot !== undefined) this.snapshot = snapshot;
    if (snapshot !== undefined && this.term(snapshot.index) !== snapshot.term) {
      this.entries = [];
      this.compacted = snapshot;
    }
    for (const entry of entries) {
      this.entries = [...this.entries.filter(({ index }) => index < entry.index), entry];
    }
  }

  image(): LogImage {
    const { hardState, snapshot, compacted, lastIndex } = this;
    const { term, vote } = hardState;
    return { term, vote, snapshot, compacted, lastIndex, entries: this.entries.map(entryText) };
  }
}

/** Numbers from which a step is made that is legal in the twin's state. */
export interface Dice {
  readonly kind: number;
  readonly a: number;
  readonly b: number;
  readonly size: number;
}

/** A legal next step. */
export function nextStep(twin: LogTwin, dice: Dice): Step {
  const { hardState, lastIndex, snapshot, compacted } = twin;
  switch (dice.kind) {
    case 0: {
      const term = hardState.term + 1 + (dice.a % 2);
      return { kind: 'append', record: { hardState: { ...hardState, term, vote: dice.b % 4 } } };
    }
    case 1: {
      const commit = Math.max(hardState.commit, compacted.index, dice.a % (lastIndex + 1));
      return { kind: 'append', record: { hardState: { ...hardState, commit } } };
    }
    case 2: {
      const index = Math.max(snapshot.index, compacted.index, dice.a % (lastIndex + 1));
      const commit = Math.max(hardState.commit, index);
      const position = { index, term: twin.term(index) };
      return {
        kind: 'append',
        record: { hardState: { ...hardState, commit }, snapshot: position },
      };
    }
    case 3:
      return { kind: 'compact', index: Math.max(compacted.index, dice.a % (snapshot.index + 1)) };
    case 4: {
      const index = lastIndex + 1 + (dice.a % 3);
      const commit = index;
      const term = Math.max(hardState.term, 1);
      const state = { term, vote: term === hardState.term ? hardState.vote : 0, commit };
      const data = new Uint8Array(dice.size);
      const behind: Entry = { index: index + 1, term, type: 'normal', data };
      const entries = dice.b % 3 === 0 ? [behind] : [];
      return { kind: 'append', record: { hardState: state, snapshot: { index, term }, entries } };
    }
    default:
      return { kind: 'append', record: appendOf(twin, dice) };
  }
}

/** Entries at the end, or from somewhere after what is committed on. */
function appendOf(twin: LogTwin, dice: Dice): LogRecord {
  const { hardState, lastIndex, compacted } = twin;
  const least = Math.max(hardState.commit, compacted.index) + 1;
  const replaces = dice.kind === 5 && lastIndex >= least;
  const first = replaces ? least + (dice.a % (lastIndex + 1 - least)) : lastIndex + 1;
  const term = hardState.term + (replaces || hardState.term === 0 ? 1 : 0);
  const entries = Array.from({ length: 1 + (dice.b % 3) }, (_, at): Entry => {
    const data = new Uint8Array(dice.size).fill((dice.a + at) % 256);
    return { index: first + at, term, type: dice.b % 5 === 0 ? 'configuration' : 'normal', data };
  });
  // Entries may be known to be committed when they come.
  const commit = dice.size % 2 === 0 ? hardState.commit : first + entries.length - 1;
  const vote = term === hardState.term ? hardState.vote : 0;
  if (commit === hardState.commit && term === hardState.term) return { entries };
  return { hardState: { term, vote, commit }, entries };
}
