// Spoils histories, each in one place and in the way that a broken system would. Not every spoilt history is wrong:
// what was told to one client may happen to be what another could have been told.

import type { Random } from '@etl-router/core';
import { keyOf, type Operation } from './operations.ts';

export interface Mutation {
  readonly name: string;
  /** The spoilt history; undefined where it has no place for this. */
  readonly apply: (
    history: readonly Operation[],
    random: Random,
  ) => readonly Operation[] | undefined;
}

type Loose = { [field: string]: unknown };

const reads: readonly string[] = ['get', 'getLane', 'getGroupPosition', 'readRegister'];
const numbers: readonly string[] = ['version', 'epoch', 'generation', 'value'];

export const mutations: readonly Mutation[] = [
  { name: 'answers swapped', apply: swapAnswers },
  { name: 'stale value', apply: staleValue },
  { name: 'write lost', apply: loseWrite },
  { name: 'write doubled', apply: doubleWrite },
  { name: 'interval moved', apply: moveInterval },
  { name: 'wrong number', apply: wrongNumber },
  { name: 'wrong outcome', apply: wrongOutcome },
  { name: 'wrong key', apply: wrongKey },
  { name: 'unknown answered', apply: answerUnknown },
  { name: 'outcome forgotten', apply: forgetOutcome },
];

/** Two operations of one kind on one key are told each other's answers. */
function swapAnswers(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const first = pick(history.filter(isAnswered), random);
  if (first === undefined) return undefined;
  const others = history.filter(
    (other) => isAnswered(other) && other !== first && isAlike(other, first),
  );
  const second = pick(
    others.filter(({ out }) => JSON.stringify(out) !== JSON.stringify(first.out)),
    random,
  );
  if (second === undefined) return undefined;
  return replace(history, [first, { out: second.out }], [second, { out: first.out }]);
}

/** A read is told what an earlier one was. */
function staleValue(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const read = pick(
    history.filter((operation) => isAnswered(operation) && reads.includes(operation.op)),
    random,
  );
  if (read === undefined) return undefined;
  const earlier = history.filter((other) => {
    if (!isAnswered(other) || !isAlike(other, read)) return false;
    const isBefore = other.returnNs !== null && other.returnNs < read.callNs;
    return isBefore && JSON.stringify(other.out) !== JSON.stringify(read.out);
  });
  const source = pick(earlier, random);
  return source === undefined ? undefined : replace(history, [read, { out: source.out }]);
}

/** A write that was answered is not there. */
function loseWrite(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const lost = pick(history.filter(isDoneWrite), random);
  return lost === undefined ? undefined : history.filter((operation) => operation !== lost);
}

/** A write is done again, later, and answered the same. */
function doubleWrite(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const write = pick(history.filter(isDoneWrite), random);
  if (write === undefined || write.returnNs === null) return undefined;
  const laterNs = (write.returnNs - write.callNs) * (1 + random.below(10)) + 1;
  return [
    ...history,
    {
      ...write,
      id: Math.max(...history.map(({ id }) => id)) + 1,
      client: 1000,
      callNs: write.returnNs + laterNs,
      returnNs: write.returnNs + laterNs + 10,
    },
  ];
}

/** An operation is said to have been at another time. */
function moveInterval(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const moved = pick(history.filter(isAnswered), random);
  if (moved === undefined || moved.returnNs === null) return undefined;
  const byNs = Math.floor((random.next() - 0.5) * 8000);
  const callNs = Math.max(0, moved.callNs + byNs);
  return replace(history, [moved, { callNs, returnNs: callNs + moved.returnNs - moved.callNs }]);
}

/** A version, epoch or value is told that is near the right one. */
function wrongNumber(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const operation = pick(
    history.filter((one) => numberIn(one) !== undefined),
    random,
  );
  if (operation === undefined) return undefined;
  const field = numberIn(operation) as string;
  const out = operation.out as Loose;
  const wrong = Math.max(0, (out[field] as number) + (random.below(2) === 0 ? 1 : -1));
  return replace(history, [operation, { out: { ...out, [field]: wrong } }]);
}

/** An operation is told another's outcome: done where it was refused, or the other way. */
function wrongOutcome(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const operation = pick(history.filter(isAnswered), random);
  if (operation === undefined) return undefined;
  const isFailed = operation.out?.error !== undefined;
  const other = pick(
    history.filter((one) => {
      return (
        isAnswered(one) && one.op === operation.op && (one.out?.error !== undefined) !== isFailed
      );
    }),
    random,
  );
  return other === undefined ? undefined : replace(history, [operation, { out: other.out }]);
}

/** An operation went to another key. */
function wrongKey(history: readonly Operation[], random: Random): readonly Operation[] | undefined {
  const operation = pick(history.filter(isAnswered), random);
  if (operation === undefined) return undefined;
  const other = pick(
    history.filter((one) => keyOf(one) !== keyOf(operation)),
    random,
  );
  if (other === undefined) return undefined;
  const field =
    ['name', 'lane', 'partition', 'register'].find((name) => name in operation.in) ?? '';
  const key = (other.in as Loose)[field];
  return key === undefined
    ? undefined
    : replace(history, [operation, { in: { ...operation.in, [field]: key } }]);
}

/** What nobody knew the outcome of is told one. */
function answerUnknown(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const unknown = pick(
    history.filter(({ out }) => out === null),
    random,
  );
  if (unknown === undefined) return undefined;
  const other = pick(
    history.filter((one) => isAnswered(one) && one.op === unknown.op),
    random,
  );
  if (other === undefined) return undefined;
  return replace(history, [unknown, { out: other.out, returnNs: unknown.callNs + 100 }]);
}

/** What was answered is not known any more. */
function forgetOutcome(
  history: readonly Operation[],
  random: Random,
): readonly Operation[] | undefined {
  const operation = pick(history.filter(isAnswered), random);
  return operation === undefined
    ? undefined
    : replace(history, [operation, { out: null, returnNs: null }]);
}

function isAnswered({ out, op }: Operation): boolean {
  return out !== null && out.error !== 'refused' && op !== 'getStale';
}

function isDoneWrite(operation: Operation): boolean {
  return (
    isAnswered(operation) && operation.out?.error === undefined && !reads.includes(operation.op)
  );
}

function isAlike(a: Operation, b: Operation): boolean {
  return a.op === b.op && keyOf(a) === keyOf(b);
}

function numberIn(operation: Operation): string | undefined {
  const { out } = operation;
  return isAnswered(operation) ? numbers.find((field) => field in (out as object)) : undefined;
}

function replace(
  history: readonly Operation[],
  ...changes: readonly (readonly [operation: Operation, change: object])[]
): readonly Operation[] {
  const changed = new Map(changes);
  return history.map((operation) => {
    const change = changed.get(operation);
    return change === undefined ? operation : ({ ...operation, ...change } as Operation);
  });
}

function pick<Value>(values: readonly Value[], random: Random): Value | undefined {
  return values[random.below(Math.max(1, values.length))];
}
