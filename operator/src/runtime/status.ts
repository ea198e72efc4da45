// What is said of an object in its status: conditions as the API conventions have them.

import type { Clock } from '@etl-router/core';

/** One condition. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  /** One CamelCase word of a closed list. */
  readonly reason: string;
  readonly message: string;
  /** The generation of the spec that this was found for. */
  readonly observedGeneration?: number;
  /** When the status, not the words around it, last changed. */
  readonly lastTransitionTime: string;
}

/** What a condition is to say; times and generations are added. */
export type ConditionClaim = Pick<Condition, 'type' | 'status' | 'reason'> & {
  readonly message?: string;
};

/** The longest message that the server stores. */
const messageMaxLength = 32_768;

/**
 * The conditions after `claims`: those that are not claimed stay, in their place. A transition time is new only when the
 * status is.
 */
export function withConditions(
  known: readonly Condition[] | undefined,
  claims: readonly ConditionClaim[],
  at: { readonly generation?: number | undefined; readonly clock: Clock },
): Condition[] {
  const now = new Date(at.clock.wallMs()).toISOString().replace(/\.\d+Z$/, 'Z');
  const next = new Map((known ?? []).map((condition) => [condition.type, condition]));
  for (const { type, status, reason, message = '' } of claims) {
    const before = next.get(type);
    next.set(type, {
      type,
      status,
      reason,
      message: message.slice(0, messageMaxLength),
      ...(at.generation === undefined ? {} : { observedGeneration: at.generation }),
      lastTransitionTime: before?.status === status ? before.lastTransitionTime : now,
    });
  }
  return [...next.values()];
}
