// Whether the operations on one key are linearizable: the search of Wing and Gong with the memory of Lowe. It takes one
// operation after the other of those that may come next, goes back where none fits, and never looks twice at the same
// operations done with the same state left. Nothing here is a heuristic: what it says is so, or it says `undecided`.
//
// With operations in the order of their returns, those done are all up to some `front` and a few beyond it, so a place
// in the search is small whatever the length of the history. What shortens the search loses nothing:
// - what fits here and can change nothing anywhere comes at once;
// - where an answer can not fit any more, whatever comes, the search goes back;
// - what may not have been done is left out where it would do nothing; of several that are the same, the first comes
//   first; where what follows one does not need it, it is left out; and a place is not looked at again if the same was
//   reached with fewer of them.

import type { AnyModel } from './model.ts';
import { isPassive, type Operation } from './operations.ts';

/** How long a search may take. */
export interface Budget {
  /** Steps of the model. */
  readonly maxSteps: number;
  /** Asked now and then; true ends the search. */
  readonly isOver?: () => boolean;
}

/** Why a key is not linearizable. */
export interface CounterExample {
  /** The first operation, in the order of returns, up to which no order of the operations fits. */
  readonly culprit: Operation;
  /** As many as can be put in an order that fits. */
  readonly prefix: readonly Operation[];
  /** What they leave, for people. */
  readonly state: string;
  /** What could come next, and does not fit; the culprit among them. */
  readonly misfits: readonly Operation[];
}

export type KeyResult =
  | { readonly verdict: 'ok'; readonly steps: number }
  | {
      readonly verdict: 'illegal';
      readonly steps: number;
      readonly counterExample: CounterExample;
    }
  | { readonly verdict: 'undecided'; readonly steps: number };

/** How an operation came to be done: a path back to the beginning. */
interface Done {
  readonly rank: number;
  /** What it was done to. */
  readonly state: unknown;
  readonly before: Done | undefined;
  readonly length: number;
}

/** Where the search is. */
interface Place {
  /** Every operation of a lower rank is done. */
  readonly front: number;
  /** Done beyond the front, in order of rank; and which of those that never returned. */
  readonly extras: readonly number[];
  readonly unanswered: readonly number[];
  readonly state: unknown;
  readonly path: Done | undefined;
}

interface Frame {
  readonly place: Place;
  readonly candidates: readonly number[];
  next: number;
}

const nothingDone = { front: 0, extras: [], unanswered: [], path: undefined } as const;

/** Places that are remembered; more would not fit memory. */
const maxPlaces = 2_000_000;

/** Checks the operations on one key against its model. */
export function checkKey(
  operations: readonly Operation[],
  model: AnyModel,
  budget: Budget,
): KeyResult {
  return new Search(operations, model, budget).run();
}

class Search {
  readonly #model: AnyModel;
  readonly #budget: Budget;
  /** In the order of their returns; those that never returned come last. */
  readonly #operations: readonly Operation[];
  /** How many returned. */
  readonly #returned: number;
  /** Ranks of those, in the order of calls. */
  readonly #byCall: readonly number[];
  /** Where in that order the first of a rank, or of a higher one, is. */
  readonly #openFrom: readonly number[];
  /** Ranks of the others, in the order of calls. */
  readonly #unanswered: readonly number[];
  /** The same operation asked before, of those that never returned. */
  readonly #twins: ReadonlyMap<number, number>;
  /** By rank. */
  readonly #passive: readonly boolean[];
  readonly #candidates: (readonly number[])[] = [];
  /** What never returned and was done, at each place where the search was, by the rest of the place. */
  readonly #seen = new Map<string, (readonly number[])[]>();
  #places = 0;
  #steps = 0;
  #rounds = 0;
  #best: Place;

  constructor(operations: readonly Operation[], model: AnyModel, budget: Budget) {
    this.#model = model;
    this.#budget = budget;
    this.#operations = operations.toSorted(byReturn);
    this.#returned = operations.filter(({ returnNs }) => returnNs !== null).length;
    const ranks = this.#operations.map((_, rank) => rank);
    const byCall = (a: number, b: number): number =>
      this.#at(a).callNs - this.#at(b).callNs || a - b;
    this.#byCall = ranks.slice(0, this.#returned).sort(byCall);
    this.#unanswered = ranks.slice(this.#returned).sort(byCall);
    this.#openFrom = openFrom(this.#byCall);
    this.#passive = this.#operations.map(isPassive);
    this.#twins = this.#findTwins();
    this.#best = { ...nothingDone, state: model.initial };
  }

  run(): KeyResult {
    const frames: Frame[] = [];
    const enter = (place: Place): void => {
      const settled = this.#settle(place);
      if (isFurther(settled, this.#best)) this.#best = settled;
      if (this.#isHopeless(settled) || !this.#remember(settled)) return;
      const candidates = settled.front < this.#returned ? this.#candidatesAt(settled.front) : [];
      frames.push({ place: settled, candidates, next: 0 });
    };
    enter(this.#best);
    while (this.#best.front < this.#returned) {
      const frame = frames.at(-1);
      if (frame === undefined) {
        return { verdict: 'illegal', steps: this.#steps, counterExample: this.#counterExample() };
      }
      if (this.#isOver()) return { verdict: 'undecided', steps: this.#steps };
      const rank = frame.candidates[frame.next++];
      if (rank === undefined) frames.pop();
      else {
        const after = this.#take(frame.place, rank);
        if (after !== undefined) enter(after);
      }
    }
    return { verdict: 'ok', steps: this.#steps };
  }

  /** The place after the operation; undefined when it does not fit or need not be looked at. */
  #take(place: Place, rank: number): Place | undefined {
    const { extras, unanswered } = place;
    if (rank < this.#returned) {
      if (extras.includes(rank)) return undefined;
      const state = this.#step(place.state, rank);
      if (state === undefined || this.#isIdle(place, rank, state)) return undefined;
      return advance(place, rank, state);
    }
    const twin = this.#twins.get(rank);
    const isNext = twin === undefined || unanswered.includes(twin);
    if (!isNext || unanswered.includes(rank)) return undefined;
    const state = this.#step(place.state, rank);
    if (state === undefined || state === place.state) return undefined;
    if (this.#isIdle(place, rank, state)) return undefined;
    return { ...place, unanswered: inserted(unanswered, rank), state, path: then(place, rank) };
  }

  /** Whether what was done last never returned and is not needed: without it the operation leads to as good a state. */
  #isIdle({ path }: Place, rank: number, state: unknown): boolean {
    if (path === undefined || path.rank < this.#returned) return false;
    const without = this.#step(path.state, rank);
    return without !== undefined && this.#model.covers(without, state);
  }

  /** Does at once what fits, tells nothing new, and could not change anything later either. */
  #settle(place: Place): Place {
    let settled = place;
    for (;;) {
      const { front, extras, state } = settled;
      if (front >= this.#returned) return settled;
      const rank = this.#candidatesAt(front).find((candidate) => {
        return (
          this.#passive[candidate] === true &&
          !extras.includes(candidate) &&
          this.#step(state, candidate) === state
        );
      });
      if (rank === undefined) return settled;
      settled = advance(settled, rank, state);
    }
  }

  /** What was called before the operation at the front returned, and may be next: those that returned first. */
  #candidatesAt(front: number): readonly number[] {
    const known = this.#candidates[front];
    if (known !== undefined) return known;
    const endNs = this.#at(front).returnNs as number;
    const isCalled = (rank: number): boolean => this.#at(rank).callNs <= endNs;
    const ranks: number[] = [];
    for (let at = this.#openFrom[front] as number; at < this.#byCall.length; at++) {
      const rank = this.#byCall[at] as number;
      if (!isCalled(rank)) break;
      if (rank >= front) ranks.push(rank);
    }
    const candidates = [...ranks.sort((a, b) => a - b), ...this.#unanswered.filter(isCalled)];
    this.#candidates[front] = candidates;
    return candidates;
  }

  /** Whether something that was answered and is called by now can not fit any more. */
  #isHopeless({ front, extras, state }: Place): boolean {
    if (front >= this.#returned) return false;
    return this.#candidatesAt(front).some((rank) => {
      return (
        rank < this.#returned &&
        !extras.includes(rank) &&
        this.#model.isTooLate(state, this.#at(rank))
      );
    });
  }

  /** False for a place where the search was before, with the same left to do or more. */
  #remember({ front, extras, unanswered, state }: Place): boolean {
    const name = `${front}|${extras.join(',')}|${this.#model.nameOf(state)}`;
    const before = this.#seen.get(name);
    if (before?.some((fewer) => fewer.every((rank) => unanswered.includes(rank))) === true) {
      return false;
    }
    this.#places++;
    if (before === undefined) this.#seen.set(name, [unanswered]);
    else before.push(unanswered);
    return true;
  }

  #step(state: unknown, rank: number): unknown {
    this.#steps++;
    return this.#model.step(state, this.#at(rank));
  }

  #isOver(): boolean {
    const { maxSteps, isOver } = this.#budget;
    if (this.#steps > maxSteps || this.#places > maxPlaces) return true;
    return (++this.#rounds & 0xff) === 0 && isOver?.() === true;
  }

  #findTwins(): ReadonlyMap<number, number> {
    const twins = new Map<number, number>();
    const last = new Map<string, number>();
    for (const rank of this.#unanswered) {
      const { op, in: input } = this.#at(rank);
      const name = `${op} ${JSON.stringify(input, Object.keys(input).sort())}`;
      const before = last.get(name);
      if (before !== undefined) twins.set(rank, before);
      last.set(name, rank);
    }
    return twins;
  }

  #counterExample(): CounterExample {
    const { front, extras, state, path } = this.#best;
    const prefix: Operation[] = [];
    for (let done = path; done !== undefined; done = done.before) prefix.push(this.#at(done.rank));
    const isMisfit = (rank: number): boolean =>
      rank < this.#returned && !extras.includes(rank) && this.#step(state, rank) === undefined;
    return {
      culprit: this.#at(front),
      prefix: prefix.reverse(),
      state: this.#model.describe(state),
      misfits: this.#candidatesAt(front)
        .filter(isMisfit)
        .map((rank) => this.#at(rank)),
    };
  }

  #at(rank: number): Operation {
    return this.#operations[rank] as Operation;
  }
}

function openFrom(byCall: readonly number[]): readonly number[] {
  const first: number[] = new Array(byCall.length);
  for (const [at, rank] of byCall.entries()) first[rank] = at;
  for (let rank = byCall.length - 2; rank >= 0; rank--) {
    first[rank] = Math.min(first[rank] as number, first[rank + 1] as number);
  }
  return first;
}

/** The place after an operation that returned. */
function advance(place: Place, rank: number, state: unknown): Place {
  const path = then(place, rank);
  const { front, extras } = place;
  if (rank !== front) return { ...place, extras: inserted(extras, rank), state, path };
  let used = 0;
  while (extras[used] === front + 1 + used) used++;
  return { ...place, front: front + 1 + used, extras: extras.slice(used), state, path };
}

function then({ path, state }: Place, rank: number): Done {
  return { rank, state, before: path, length: (path?.length ?? 0) + 1 };
}

function inserted(ranks: readonly number[], rank: number): readonly number[] {
  return [...ranks, rank].sort((a, b) => a - b);
}

function isFurther(a: Place, b: Place): boolean {
  if (a.front !== b.front) return a.front > b.front;
  return (a.path?.length ?? 0) > (b.path?.length ?? 0);
}

function byReturn(a: Operation, b: Operation): number {
  if (a.returnNs === b.returnNs) return a.callNs - b.callNs || a.id - b.id;
  if (a.returnNs === null) return 1;
  return b.returnNs === null ? -1 : a.returnNs - b.returnNs;
}
