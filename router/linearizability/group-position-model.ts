// How far a group is in one partition: forward only, and only for members of the present generation. Generations rise
// with what happens elsewhere in the group, so all that is known of one is the least it can be.

import type { Model } from './model.ts';
import { type OperationOf, wrongKey } from './operations.ts';

interface GroupPositionState {
  /** The least that the group's generation can be. */
  readonly generation: number;
  /** In hex; undefined where nothing was committed. */
  readonly position: string | undefined;
}

export const groupPositionModel: Model<GroupPositionState> = {
  initial: { generation: 0, position: undefined },
  step: (state, operation) => {
    if (operation.op === 'commitGroupPosition') return stepCommit(state, operation);
    if (operation.op === 'getGroupPosition') return stepGet(state, operation);
    return wrongKey(operation);
  },
  isTooLate: ({ generation, position = '' }, operation) => {
    const { out } = operation;
    if (out === null) return false;
    if ('position' in out) return out.position < position;
    if ('generation' in out && out.generation !== undefined) return out.generation < generation;
    if (operation.op !== 'commitGroupPosition' || out.error !== undefined) return false;
    return operation.in.generation < generation || operation.in.position < position;
  },
  covers: (state, other) =>
    state.position === other.position && state.generation <= other.generation,
  nameOf: ({ generation, position }) => `${generation} ${position ?? '-'}`,
  describe: ({ generation, position }) =>
    `generation ${generation} or more, ${position === undefined ? 'no position' : `position "${position}"`}`,
};

function stepCommit(
  state: GroupPositionState,
  { in: input, out }: OperationOf<'commitGroupPosition'>,
): GroupPositionState | undefined {
  if (out?.error === 'refused') return state;
  if (out?.error === 'fenced') {
    return out.generation === undefined ? state : inGeneration(state, out.generation);
  }
  const held = inGeneration(state, input.generation);
  const isBehind = state.position !== undefined && input.position < state.position;
  if (out?.error === 'conflict') {
    return isBehind && out.position === state.position ? held : undefined;
  }
  if (held === undefined || isBehind) return out === null ? state : undefined;
  if (input.position === state.position) return out === null ? state : held;
  return { ...held, position: input.position };
}

function stepGet(
  state: GroupPositionState,
  { out }: OperationOf<'getGroupPosition'>,
): GroupPositionState | undefined {
  if (out === null || out.error === 'refused') return state;
  const position = out.error === undefined ? out.position : undefined;
  return state.position === position ? state : undefined;
}

/** The state with the group known to be in that generation; undefined when it is over. */
function inGeneration(
  state: GroupPositionState,
  generation: number,
): GroupPositionState | undefined {
  if (generation < state.generation) return undefined;
  return generation === state.generation ? state : { ...state, generation };
}
