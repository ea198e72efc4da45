// What to do about a condition of an EtlRouterCluster, by its type and reason. The same words stand, at more length, in
// docs/guides/troubleshooting.md.

import type { Level } from './check.ts';

interface Advice {
  readonly level: Exclude<Level, 'ok'>;
  readonly what: string;
}

/** Where it stands what to do without a majority. */
export const recovery = 'docs/guides/operating-a-cluster.md, "When a majority is lost"';
/** Where it stands what to do with a volume that belongs elsewhere. */
export const otherCluster =
  'docs/guides/operating-a-cluster.md, "When a volume is of another cluster"';
/** What is done for a claim that somebody deleted and that its own pod still uses. */
export const claimEnds =
  'do not delete its pod, or the volume goes with it: while all members work, annotate the pod etl.router/unrecoverable=true, and its member is replaced; a single member needs others first (spec.replicas: 3)';
const lost = `first the pods, nodes and network, then the volumes; only what is gone for good: ${recovery}`;
const pods =
  'look at the pods below, and at kubectl describe of those that are not ready; where a node or disk does not come back, docs/guides/operating-a-cluster.md, "Nodes"';

/** A reason as conditions carry it, and what it calls for. What is not here is as it should be. */
const advices: { readonly [typeAndReason: string]: Advice } = {
  'Accepted Invalid': {
    level: 'fail',
    what: 'correct the spec as the message says; what runs is left as it is until then',
  },
  'Accepted ResourceConflict': {
    level: 'fail',
    what: 'rename or delete the object that the message names, or give the EtlRouterCluster another name',
  },
  'Available Founding': {
    level: 'warn',
    what: 'do what the message asks for; if it asks for nothing, wait: the members found the cluster once all of their pods run, see the pods below',
  },
  'Available NoLeader': {
    level: 'fail',
    what: 'do what the message asks for; if it asks for nothing, wait for some seconds, then see whether the members reach each other on port 50052 (NetworkPolicy, DNS)',
  },
  'Available QuorumLost': { level: 'fail', what: lost },
  'Available MembersUnreachable': {
    level: 'warn',
    what: 'the pods are ready but the operator does not reach port 50051: see NetworkPolicies, and the operator itself',
  },
  'Available OtherCluster': { level: 'fail', what: otherCluster },
  'Available Forbidden': {
    level: 'fail',
    what: 'give the operator back its Role in this namespace (helm upgrade); how the routers are is told by their own words below',
  },
  'Degraded MembersNotReady': { level: 'warn', what: pods },
  'Degraded MemberTimedOut': {
    level: 'warn',
    what: `${pods}; a spec that works (image, resources, template) replaces the pod at once`,
  },
  'Degraded ActFails': {
    level: 'warn',
    what: 'the message is what Kubernetes or a router said to the operator: mostly a quota, an admission rule or a missing right',
  },
  'Degraded QuorumLost': { level: 'fail', what: lost },
  'Degraded OtherCluster': { level: 'fail', what: otherCluster },
  'Progressing WaitingForSupervisor': {
    level: 'warn',
    what: 'spec.update.strategy is supervised: delete the pod of the leader when it suits you',
  },
  'Progressing ClaimInTheWay': {
    level: 'warn',
    what: 'a claim of an earlier member is still there: keep its data elsewhere if you need it, then delete the claim',
  },
  'Progressing ClaimBeingDeleted': { level: 'warn', what: claimEnds },
  'Progressing WaitingForPod': {
    level: 'warn',
    what: 'wait; if the pod does not end, kubectl describe says what holds it, such as a node that is away; if that never comes back, docs/guides/operating-a-cluster.md, "Nodes"',
  },
  'CertificatesReady Pending': {
    level: 'warn',
    what: 'do what the message asks for; if it asks for nothing, wait, then see the log of the operator',
  },
  'CertificatesReady Expired': {
    level: 'fail',
    what: 'the operator replaces what has expired as soon as it leads and spec.reconciliation is active: see both, and its log',
  },
  'ReconciliationPaused Paused': {
    level: 'warn',
    what: 'set spec.reconciliation to active when the operator is to go on',
  },
};

/** Undefined: nothing is to be done about it. */
export function adviceOn(type: string, reason: string): Advice | undefined {
  return advices[`${type} ${reason}`];
}
