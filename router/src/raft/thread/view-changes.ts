// What changed since the main thread was last told. It reads a copy of a member's status at any time, so that copy must
// never be older than an answer that it was given; how far other members are may be, by a tick.

import type { ConsensusStatus } from '../../consensus/consensus.ts';
import type { Membership } from '../membership.ts';
import type { MemberProgress } from '../raft.ts';
import type { ViewChange } from './protocol.ts';
import { toWireError } from './wire-error.ts';

/** The member, as far as it is seen from outside. */
export interface Viewed {
  readonly leads: boolean;
  readonly membership: Membership;
  readonly progress: readonly MemberProgress[];
  status(): ConsensusStatus;
}

type Told = { -readonly [field in keyof ViewChange]: ViewChange[field] };

export class ViewChanges {
  readonly #viewed: Viewed;
  readonly #told: Told = {};

  constructor(viewed: Viewed) {
    this.#viewed = viewed;
  }

  /** Whether something changed that others wait for: who leads, in which term, or that it failed. */
  get isUrgent(): boolean {
    const told = this.#told.status;
    const { role, term, leaderId } = this.#viewed.status();
    return told?.role !== role || told.term !== term || told.leaderId !== leaderId;
  }

  /**
   * What others wait for, such as who leads, in which term, and who is a member; with `isThorough` all that changed. How
   * far the log is by then is known to the main thread itself, which applies it.
   */
  take(isThorough: boolean): ViewChange | undefined {
    const { failure, ...status } = this.#viewed.status();
    const { leads, membership } = this.#viewed;
    const told = this.#told;
    const change: Told = {};
    if (told.status === undefined || (isThorough ? !isSame(told.status, status) : this.isUrgent))
      change.status = status;
    if (failure !== undefined && told.failure === undefined) change.failure = toWireError(failure);
    if (told.leads !== leads) change.leads = leads;
    if (told.membership !== membership) change.membership = membership;
    if (isThorough || change.membership !== undefined || change.leads !== undefined) {
      const { progress } = this.#viewed;
      if (!isSameList(told.progress ?? [], progress)) change.progress = progress;
    }
    if (Object.keys(change).length === 0) return undefined;
    Object.assign(told, change);
    return change;
  }
}

function isSame<Fields extends object>(one: Fields, other: Fields): boolean {
  const keys = Object.keys(one) as (keyof Fields)[];
  return keys.every((key) => one[key] === other[key]);
}

function isSameList(one: readonly MemberProgress[], other: readonly MemberProgress[]): boolean {
  return (
    one.length === other.length &&
    one.every((each, at) => isSame(each, other[at] as MemberProgress))
  );
}
