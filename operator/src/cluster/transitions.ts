// What people are told when a condition of a cluster turns: once a turn, for better or worse.

import type { Condition } from '@etl-router/crds';
import type { EventClaim } from '../runtime/events.ts';

/** Conditions that are told, and the status of them that is good. */
const told: { readonly [type: string]: Condition['status'] } = {
  Accepted: 'True',
  Ready: 'True',
  Available: 'True',
  Degraded: 'False',
  CertificatesReady: 'True',
  ReconciliationPaused: 'False',
};

/** Reasons that a new cluster passes through and that are no news. */
const expected: readonly string[] = ['Founding', 'Pending', 'Changing', 'NoLeader'];

/** Reasons that follow from what somebody asked for: nothing to be warned of. */
const asked: readonly string[] = ['Changing', 'Deleting', 'Paused'];

/** The events of what changed between two states of a cluster. */
export function transitionEvents(
  before: readonly Condition[] | undefined,
  after: readonly Condition[],
): readonly EventClaim[] {
  return after.flatMap((condition): readonly EventClaim[] => {
    const good = told[condition.type];
    const known = before?.find(({ type }) => type === condition.type);
    if (good === undefined || known?.status === condition.status) return [];
    const isGood = condition.status === good;
    // The first word about a cluster is worth telling only when it is a bad one.
    const isNews = known === undefined ? !isGood && !expected.includes(condition.reason) : true;
    if (!isNews || condition.status === 'Unknown') return [];
    return [
      {
        type: isGood || asked.includes(condition.reason) ? 'Normal' : 'Warning',
        reason: isGood && condition.type !== 'Ready' ? `${condition.type}Again` : condition.reason,
        action: 'Observe',
        note: condition.message ?? '',
      },
    ];
  });
}
