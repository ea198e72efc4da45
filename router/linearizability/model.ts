// What one key of a history may answer, as a state and a step. A model is deterministic: what it can not know, such as
// the version that an unanswered write was given, it keeps as a bound until an answer tells.

import { groupPositionModel } from './group-position-model.ts';
import { laneModel } from './lane-model.ts';
import { objectModel } from './object-model.ts';
import type { Operation } from './operations.ts';
import { registerModel } from './register-model.ts';

export interface Model<State> {
  readonly initial: State;
  /**
   * The state after the operation, or undefined when it can not have been answered so. An operation whose outcome is
   * not known always has one: it does what it can. Returns `state` itself exactly when nothing is changed or learnt.
   */
  step(state: State, operation: Operation): State | undefined;
  /** True only if the operation, which was answered, fits neither this state nor any that can come after it. */
  isTooLate(state: State, operation: Operation): boolean;
  /** True only if everything that fits after `other` fits after `state` too. */
  covers(state: State, other: State): boolean;
  /** Two states have the same name exactly when they are the same. */
  nameOf(state: State): string;
  /** For people. */
  describe(state: State): string;
}

/** A model whose states only it can read. */
export type AnyModel = Model<unknown>;

/** The model of the key that the operation is about. */
export function modelOf({ op }: Operation): AnyModel {
  switch (op) {
    case 'create':
    case 'update':
    case 'delete':
    case 'get':
    case 'getStale':
      return objectModel as AnyModel;
    case 'acquireEpoch':
    case 'commitPosition':
    case 'getLane':
      return laneModel as AnyModel;
    case 'commitGroupPosition':
    case 'getGroupPosition':
      return groupPositionModel as AnyModel;
    case 'writeRegister':
    case 'swapRegister':
    case 'readRegister':
      return registerModel as AnyModel;
  }
}
