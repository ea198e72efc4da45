// What the gRPC services work on.

import type { Clock } from '@etl-router/core';
import type { Registry } from 'prom-client';
import type { Router } from '../../server/router.ts';

export interface GrpcContext {
  readonly router: Router;
  readonly clock: Clock;
  /** Version of this build. */
  readonly version: string;
  /** What GetMetrics reads. */
  readonly metrics: Registry;
  /** This member, as the cluster's status names it. */
  readonly member: {
    readonly name: string;
    readonly raftId: number;
    /** Where clients reach it; known once it listens. */
    readonly address: () => string;
  };
  /** Aborts when the process begins to stop: streams end then, so that their callers go elsewhere. */
  readonly stopping: AbortSignal;
  /** Callers show certificates: what changes the cluster itself needs the operator's. */
  readonly isClosed: boolean;
  /** A change of the cluster has to say which leadership of the operator it comes from. */
  readonly needsEpoch: boolean;
}
