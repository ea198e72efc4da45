// One object: created, updated and deleted, at a version that is never given twice. Versions are the revisions of the
// whole state, so an object's versions rise and have gaps. An equal object is left alone and keeps its version.

import {
  above,
  type Counter,
  canBe,
  coversCount,
  describeCounter,
  exactly,
  nameOfCounter,
} from './counter.ts';
import type { Model } from './model.ts';
import { type OperationOf, wrongKey } from './operations.ts';

interface ObjectState {
  readonly exists: boolean;
  /** Of the object, or the least that its deletion can have been. */
  readonly version: Counter;
  readonly spec: string;
}

/** `create` is an update that expects nothing to be there. */
interface Put {
  readonly spec: string;
  readonly ifVersion: number | undefined;
}

export const objectModel: Model<ObjectState> = {
  initial: { exists: false, version: { value: 0, isExact: false }, spec: '' },
  step: (state, operation) => {
    if (operation.op === 'create')
      return stepPut(state, { spec: operation.in.spec, ifVersion: 0 }, operation.out);
    if (operation.op === 'update') {
      const { spec, ifVersion } = operation.in;
      return stepPut(state, { spec, ifVersion }, operation.out);
    }
    if (operation.op === 'delete') return stepDelete(state, operation);
    if (operation.op === 'get') return stepGet(state, operation);
    return wrongKey(operation);
  },
  isTooLate: ({ version }, { in: input, out }) => {
    if (out === null) return false;
    const shown = 'version' in out && out.version > 0 ? out.version : Number.POSITIVE_INFINITY;
    const isDone = out.error === undefined && 'ifVersion' in input && input.ifVersion !== 0;
    const expected = isDone ? input.ifVersion : undefined;
    return Math.min(shown, expected ?? Number.POSITIVE_INFINITY) < version.value;
  },
  covers: (state, other) =>
    state.exists === other.exists &&
    state.spec === other.spec &&
    coversCount(state.version, other.version),
  nameOf: ({ exists, version, spec }) =>
    exists ? `${nameOfCounter(version)} ${spec}` : `-${version.value}`,
  describe: ({ exists, version, spec }) =>
    exists ? `version ${describeCounter(version)}, spec ${JSON.stringify(spec)}` : 'no object',
};

function stepPut(
  state: ObjectState,
  { spec, ifVersion }: Put,
  out: OperationOf<'update'>['out'],
): ObjectState | undefined {
  if (out?.error === 'refused') return state;
  if (out?.error === 'conflict') {
    return ifVersion === undefined || ifVersion === out.version
      ? undefined
      : found(state, out.version);
  }
  const before = ifVersion === undefined ? state : found(state, ifVersion);
  // A write that may not have been done is thought of as refused by leaving it out: here it does what it can.
  if (before === undefined) return out === null ? state : undefined;
  const isSame = before.exists && before.spec === spec;
  if (out === null) {
    return isSame ? state : { exists: true, version: above(before.version.value), spec };
  }
  if (out.changed === isSame) return undefined;
  if (isSame) return found(before, out.version);
  return out.version > before.version.value
    ? { exists: true, version: exactly(out.version), spec }
    : undefined;
}

function stepDelete(
  state: ObjectState,
  { in: input, out }: OperationOf<'delete'>,
): ObjectState | undefined {
  if (out?.error === 'refused') return state;
  if (out?.error === 'notFound') return state.exists ? undefined : state;
  const { ifVersion } = input;
  if (out?.error === 'conflict') {
    const isOther = ifVersion !== undefined && ifVersion !== out.version;
    return isOther && state.exists ? found(state, out.version) : undefined;
  }
  const before = ifVersion === undefined ? state : found(state, ifVersion);
  if (before?.exists === true) {
    return { exists: false, version: above(before.version.value), spec: '' };
  }
  return out === null ? state : undefined;
}

function stepGet(state: ObjectState, { out }: OperationOf<'get'>): ObjectState | undefined {
  if (out === null || out.error === 'refused') return state;
  if (out.error === 'notFound') return state.exists ? undefined : state;
  return state.exists && state.spec === out.spec ? found(state, out.version) : undefined;
}

/** The state, known to be at `version`, where 0 is no object; undefined when it can not be. */
function found(state: ObjectState, version: number): ObjectState | undefined {
  if (version === 0) return state.exists ? undefined : state;
  if (!state.exists || !canBe(state.version, version)) return undefined;
  return state.version.isExact ? state : { ...state, version: exactly(version) };
}
