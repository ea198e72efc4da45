// What must hold between keys. Versions and epochs are revisions of the whole state: what was made by an operation that
// began after another was answered has a higher one than anything that answer showed, whatever keys they are about.

import type { Operation } from './operations.ts';

/** Something that is wrong beside the orders of single keys. */
export interface Problem {
  readonly operation: Operation;
  readonly message: string;
}

interface Moment {
  readonly atNs: number;
  readonly isCall: boolean;
  readonly operation: Operation;
}

/** Operations that were given a revision which was known before they began. */
export function checkRevisions(history: readonly Operation[]): readonly Problem[] {
  const problems: Problem[] = [];
  const floors = new Map<Operation, Operation | undefined>();
  let highest: Operation | undefined;
  for (const { isCall, operation } of momentsOf(history)) {
    if (isCall) {
      floors.set(operation, highest);
      continue;
    }
    const floor = floors.get(operation);
    const made = madeBy(operation);
    const known = floor === undefined ? 0 : (shownBy(floor) as number);
    if (made !== undefined && made <= known) {
      problems.push({
        operation,
        message: `was given ${made}, but operation ${floor?.id} was told of ${known} before`,
      });
    }
    const shown = shownBy(operation) ?? 0;
    if (shown > (highest === undefined ? 0 : (shownBy(highest) as number))) highest = operation;
  }
  return problems;
}

/** The revision that an operation certainly made itself. */
function madeBy({ op, out }: Operation): number | undefined {
  if (out === null || out.error !== undefined) return undefined;
  if (op === 'create' && 'version' in out) return out.version;
  if (op === 'update' && 'version' in out && out.changed === true) return out.version;
  return op === 'acquireEpoch' && 'epoch' in out ? out.epoch : undefined;
}

/** The highest revision that an answer shows to be reached. */
function shownBy({ op, out }: Operation): number | undefined {
  // What a stale read shows is reached too.
  if (out === null) return undefined;
  if ('revision' in out && out.revision !== undefined) return out.revision;
  if ('version' in out) return out.version;
  if ('epoch' in out && op !== 'commitPosition') return out.epoch;
  return undefined;
}

function momentsOf(history: readonly Operation[]): readonly Moment[] {
  const moments: Moment[] = [];
  for (const operation of history) {
    const { callNs, returnNs } = operation;
    moments.push({ atNs: callNs, isCall: true, operation });
    if (returnNs !== null) moments.push({ atNs: returnNs, isCall: false, operation });
  }
  return moments.sort((a, b) => a.atNs - b.atNs || (a.isCall === b.isCall ? 0 : a.isCall ? -1 : 1));
}
