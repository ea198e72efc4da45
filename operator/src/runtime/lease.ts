// The object that leader election is about.

import type { KubeKind, KubeObject } from './kube-object.ts';

export const leaseKind: KubeKind = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
};

/** A claim. Its times are for people: nobody judges by them. */
export interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

export interface Lease extends KubeObject {
  readonly spec?: LeaseSpec;
}

/** RFC 3339 with six digits, as Kubernetes' MicroTime wants it. */
export function microTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace('Z', '000Z');
}

/** Changes of hands of one lease that are told apart from those of the next; what is behind them are seconds. */
const transitionsMax = 2 ** 20;

/**
 * What a claim is known by outside of Kubernetes. Grows with every change of hands, and also where the lease was deleted
 * and nobody is left who saw it: whoever fences by it must not lock out who comes after an installation that is gone.
 */
export function epochOf({ metadata, spec }: Lease): number {
  const madeAtMs = Date.parse(metadata.creationTimestamp ?? '');
  const madeAtSeconds = Number.isNaN(madeAtMs) ? 0 : Math.floor(madeAtMs / 1000);
  return madeAtSeconds * transitionsMax + (spec?.leaseTransitions ?? 0);
}

/** The lease as its holder writes it: taken from another, or renewed. */
export function claimed(
  known: Lease | undefined,
  claim: {
    readonly identity: string;
    readonly durationMs: number;
    readonly transitions: number;
    readonly wallMs: number;
  },
): LeaseSpec {
  const now = microTime(claim.wallMs);
  const renewing = known?.spec?.holderIdentity === claim.identity;
  return {
    ...known?.spec,
    holderIdentity: claim.identity,
    leaseDurationSeconds: Math.ceil(claim.durationMs / 1000),
    acquireTime: renewing ? (known.spec?.acquireTime ?? now) : now,
    renewTime: now,
    leaseTransitions: claim.transitions,
  };
}

/** The lease as its holder leaves it: whoever comes next need not wait. */
export function givenAway(held: Lease, wallMs: number): LeaseSpec {
  const now = microTime(wallMs);
  return {
    ...held.spec,
    holderIdentity: '',
    leaseDurationSeconds: 1,
    renewTime: now,
    acquireTime: now,
  };
}
