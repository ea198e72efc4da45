// One register of the simulator: written, or swapped where it holds what is expected.

import type { Model } from './model.ts';
import { type OperationOf, wrongKey } from './operations.ts';

export const registerModel: Model<number> = {
  initial: 0,
  step: (state, operation) => {
    if (operation.out?.error === 'refused') return state;
    if (operation.op === 'writeRegister') return operation.in.value;
    if (operation.op === 'swapRegister') return stepSwap(state, operation);
    if (operation.op === 'readRegister')
      return operation.out === null || operation.out.value === state ? state : undefined;
    return wrongKey(operation);
  },
  // Values come back.
  isTooLate: () => false,
  covers: (state, other) => state === other,
  nameOf: (state) => `${state}`,
  describe: (state) => `value ${state}`,
};

function stepSwap(
  state: number,
  { in: input, out }: OperationOf<'swapRegister'>,
): number | undefined {
  const isDone = state === input.expected;
  const after = isDone ? input.value : state;
  if (out === null || out.error === 'refused') return after;
  return out.done === isDone && out.value === after ? after : undefined;
}
