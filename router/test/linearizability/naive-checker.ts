// The twin of the checker: every order of every choice of operations, and no thought.

import { modelOf } from '../../linearizability/model.ts';
import type { Operation } from '../../linearizability/operations.ts';

/** Whether the operations on one key are linearizable; for few of them. */
export function isLinearizable(history: readonly Operation[]): boolean {
  const [first] = history;
  if (first === undefined) return true;
  const model = modelOf(first);
  const explore = (left: readonly Operation[], state: unknown): boolean => {
    if (left.every(({ returnNs }) => returnNs === null)) return true;
    return left.some((next) => {
      const comesAfter = left.some(({ returnNs }) => returnNs !== null && returnNs < next.callNs);
      if (comesAfter) return false;
      const after = model.step(state, next);
      return (
        after !== undefined &&
        explore(
          left.filter((one) => one !== next),
          after,
        )
      );
    });
  };
  return explore(history, model.initial);
}
