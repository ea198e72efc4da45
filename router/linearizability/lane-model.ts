// One lane: whoever acquires it gets a higher epoch than anyone before and the position it has, and only the holder of
// the present epoch moves it, forward. The lane's pipeline is neither deleted nor paused in a history.

import {
  above,
  type Counter,
  canBe,
  coversCount,
  describeCounter,
  exactly,
  nameOfCounter,
  noCount,
} from './counter.ts';
import type { Model } from './model.ts';
import { type OperationOf, wrongKey } from './operations.ts';

interface LaneState {
  readonly exists: boolean;
  readonly epoch: Counter;
  /** In hex, which sorts as the bytes do. */
  readonly position: string;
}

export const laneModel: Model<LaneState> = {
  initial: { exists: false, epoch: noCount, position: '' },
  step: (state, operation) => {
    if (operation.op === 'acquireEpoch') return stepAcquire(state, operation);
    if (operation.op === 'commitPosition') return stepCommit(state, operation);
    if (operation.op === 'getLane') return stepGet(state, operation);
    return wrongKey(operation);
  },
  isTooLate: ({ epoch, position }, operation) => {
    const { out } = operation;
    if (out === null) return false;
    if ('epoch' in out) return out.epoch < epoch.value || out.position < position;
    if (operation.op !== 'commitPosition' || out.error !== undefined) return false;
    return operation.in.epoch < epoch.value || operation.in.position < position;
  },
  covers: (state, other) =>
    state.exists === other.exists &&
    state.position === other.position &&
    coversCount(state.epoch, other.epoch),
  nameOf: ({ exists, epoch, position }) =>
    exists ? `${nameOfCounter(epoch)} ${position}` : 'none',
  describe: ({ exists, epoch, position }) =>
    exists ? `epoch ${describeCounter(epoch)}, position "${position}"` : 'no lane',
};

function stepAcquire(
  state: LaneState,
  { out }: OperationOf<'acquireEpoch'>,
): LaneState | undefined {
  const { epoch, position } = state;
  if (out === null) return { exists: true, epoch: above(epoch.value), position };
  if (out.error === 'refused') return state;
  if (out.epoch <= epoch.value || out.position !== position) return undefined;
  return { exists: true, epoch: exactly(out.epoch), position };
}

function stepCommit(
  state: LaneState,
  { in: input, out }: OperationOf<'commitPosition'>,
): LaneState | undefined {
  if (out?.error === 'refused') return state;
  if (out?.error === 'notFound') return state.exists ? undefined : state;
  if (out?.error !== undefined) {
    const isApt = {
      fenced: input.epoch < out.epoch,
      invalid: input.epoch > out.epoch,
      conflict: input.epoch === out.epoch && input.position < out.position,
    }[out.error];
    return isApt ? found(state, out) : undefined;
  }
  const held = found(state, { epoch: input.epoch, position: state.position });
  if (held === undefined || input.position < state.position) {
    return out === null ? state : undefined;
  }
  if (input.position === state.position) return out === null ? state : held;
  return { ...held, position: input.position };
}

function stepGet(state: LaneState, { out }: OperationOf<'getLane'>): LaneState | undefined {
  if (out === null || out.error === 'refused') return state;
  if (out.error === 'notFound') return state.exists ? undefined : state;
  return found(state, out);
}

/** The state, known to be so; undefined when it can not be. */
function found(
  state: LaneState,
  { epoch, position }: { readonly epoch: number; readonly position: string },
): LaneState | undefined {
  if (!state.exists || !canBe(state.epoch, epoch) || state.position !== position) return undefined;
  return state.epoch.isExact ? state : { ...state, epoch: exactly(epoch) };
}
