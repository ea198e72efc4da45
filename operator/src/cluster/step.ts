// What a plan comes to: an act with the intent behind it, or what is being waited for.

import type { EtlRouterClusterStatusOperation } from '@etl-router/crds';

export type OperationType = EtlRouterClusterStatusOperation['type'];

/** What is about to be done. It is in the status before anything of it is done. */
export interface Intent {
  readonly type: OperationType;
  readonly phase: Phase;
  readonly target: string;
}

export type Phase =
  | 'founding'
  | 'pod'
  | 'learner'
  | 'catchUp'
  | 'promote'
  | 'transfer'
  | 'remove'
  | 'replicas'
  | 'claim'
  | 'restart'
  | 'ready';

/** The kinds of acts, as metrics and failpoints name them. */
export const actKinds = [
  'record',
  'addLearner',
  'promote',
  'removeMember',
  'transferLeadership',
  'deletePod',
  'setReplicas',
  'deleteClaim',
  'adoptClaim',
  'markClaim',
  'growClaim',
] as const;
export type ActKind = (typeof actKinds)[number];

/** One call that changes something beside the objects that are applied. Each bears being made twice. */
export type Act =
  /** The intent is written, bound to the resource version that was seen; nothing else happens in this run. */
  | { readonly kind: 'record' }
  | {
      readonly kind: 'addLearner';
      readonly name: string;
      readonly raftId: string;
      readonly address: string;
    }
  | { readonly kind: 'promote'; readonly raftId: string }
  | { readonly kind: 'removeMember'; readonly raftId: string }
  | { readonly kind: 'transferLeadership'; readonly toRaftId: string }
  /** Bound to the very pod as it was seen. `force`: the node of the pod is gone, and somebody said so. */
  | {
      readonly kind: 'deletePod';
      readonly name: string;
      readonly uid: string;
      readonly resourceVersion: string;
      readonly force: boolean;
    }
  /** Bound to the replicas that were seen: a patch that tests them first. */
  | { readonly kind: 'setReplicas'; readonly from: number; readonly replicas: number }
  | { readonly kind: 'deleteClaim'; readonly name: string; readonly uid: string }
  | { readonly kind: 'adoptClaim'; readonly name: string; readonly uid: string }
  /** Notes on a volume that it does not come back. */
  | { readonly kind: 'markClaim'; readonly name: string; readonly uid: string }
  | { readonly kind: 'growClaim'; readonly name: string; readonly size: string };

/** Why a change does not go on. */
export type WaitReason =
  | 'WaitingForMembers'
  | 'WaitingForPod'
  | 'WaitingForSupervisor'
  | 'ClaimInTheWay'
  | 'ClaimBeingDeleted';

export type Step =
  | { readonly kind: 'act'; readonly intent: Intent; readonly act: Act; readonly message: string }
  | {
      readonly kind: 'wait';
      /** What is under way; undefined: nothing was begun. */
      readonly intent?: Intent | undefined;
      readonly reason: WaitReason;
      readonly message: string;
    };

export function act(intent: Intent, what: Act, message: string): Step {
  return { kind: 'act', intent, act: what, message };
}

export function wait(reason: WaitReason, message: string, intent?: Intent): Step {
  return { kind: 'wait', reason, message, ...(intent === undefined ? {} : { intent }) };
}
