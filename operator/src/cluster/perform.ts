// Makes the one act that a plan came to. Each is bound to what was seen, so that what changed since is refused by the
// server or the routers and looked at again; each bears being made twice.

import { EtlError } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import type { CallOptions } from '@etl-router/proto/grpc';
import type {
  AdminCalls,
  MemberAddress,
  RouterAdmins,
  RouterCredentials,
} from '../router-client.ts';
import { isNotFound } from '../runtime/api-error.ts';
import { type KubeKind, keyOf, type ObjectRef } from '../runtime/kube-object.ts';
import type { RawKube } from '../runtime/raw-kube.ts';
import { claimKind, podKind } from './kinds.ts';
import { clusterUidLabel, givenUpLabel } from './names.ts';
import { childKinds } from './objects.ts';
import type { Act } from './step.ts';

/** An act that is a call. */
export type CallAct = Exclude<Act, { readonly kind: 'record' }>;

export interface ActorOptions {
  readonly client: RawKube;
  readonly routers: RouterAdmins;
}

/** What an act is made with. */
export interface ActContext {
  readonly cluster: EtlRouterCluster;
  readonly credentials: RouterCredentials | undefined;
  /** Who leads the members, by its own word. */
  readonly leader: MemberAddress | undefined;
  readonly signal: AbortSignal;
}

type ObjectAct = Extract<
  CallAct,
  {
    readonly kind:
      | 'deletePod'
      | 'setReplicas'
      | 'deleteClaim'
      | 'adoptClaim'
      | 'markClaim'
      | 'growClaim';
  }
>;

export class Actor {
  readonly #options: ActorOptions;

  constructor(options: ActorOptions) {
    this.#options = options;
  }

  /** Resolves when it is made, or found to be made. */
  async perform(act: CallAct, context: ActContext): Promise<void> {
    switch (act.kind) {
      case 'addLearner':
        return await this.#tellLeader(act.kind, context, (calls, options) =>
          calls.addLearner(
            { name: act.name, raftId: BigInt(act.raftId), address: act.address },
            options,
          ),
        );
      case 'promote':
        return await this.#tellLeader(act.kind, context, (calls, options) =>
          calls.promoteMember({ raftId: BigInt(act.raftId) }, options),
        );
      case 'removeMember':
        return await this.#tellLeader(act.kind, context, (calls, options) =>
          calls.removeMember({ raftId: BigInt(act.raftId) }, options),
        );
      case 'transferLeadership':
        return await this.#tellLeader(act.kind, context, (calls, options) =>
          calls.transferLeadership({ toRaftId: BigInt(act.toRaftId) }, options),
        );
      case 'deletePod':
      case 'setReplicas':
      case 'deleteClaim':
      case 'adoptClaim':
      case 'markClaim':
      case 'growClaim':
        return await this.#change(act, context);
    }
  }

  async #change(act: ObjectAct, { cluster, signal }: ActContext): Promise<void> {
    const { client } = this.#options;
    const { name, namespace } = cluster.metadata;
    const refTo = (kind: KubeKind, object: string): ObjectRef => ({
      kind,
      namespace,
      name: object,
    });
    switch (act.kind) {
      case 'deletePod': {
        const { uid, resourceVersion, force } = act;
        const grace = force ? { gracePeriodSeconds: 0 } : {};
        const bound = { uid, resourceVersion, ...grace, signal };
        return await unlessGone(client.delete(refTo(podKind, act.name), bound));
      }
      case 'deleteClaim':
        return await unlessGone(
          client.delete(refTo(claimKind, act.name), { uid: act.uid, signal }),
        );
      case 'setReplicas': {
        const path = '/spec/replicas';
        const operations = [
          { op: 'test', path, value: act.from },
          { op: 'replace', path, value: act.replicas },
        ] as const;
        const set = refTo(childKinds['StatefulSet'] as KubeKind, name);
        await client.jsonPatch(set, operations, { signal });
        return;
      }
      case 'adoptClaim':
      case 'markClaim': {
        const label = act.kind === 'adoptClaim' ? clusterUidLabel : givenUpLabel;
        const path = `/metadata/labels/${label.replace('/', '~1')}`;
        const operations = [
          { op: 'test', path: '/metadata/uid', value: act.uid },
          { op: 'add', path, value: cluster.metadata.uid },
        ] as const;
        await client.jsonPatch(refTo(claimKind, act.name), operations, { signal });
        return;
      }
      case 'growClaim': {
        const path = '/spec/resources/requests/storage';
        const operations = [{ op: 'replace', path, value: act.size }] as const;
        await client.jsonPatch(refTo(claimKind, act.name), operations, { signal });
        return;
      }
    }
  }

  async #tellLeader(
    method: string,
    { cluster, credentials, leader, signal }: ActContext,
    make: (calls: AdminCalls, options: CallOptions) => Promise<unknown>,
  ): Promise<void> {
    if (credentials === undefined || leader === undefined) {
      throw new EtlError(
        'ETL_UNAVAILABLE',
        `${method}: nobody leads the members of ${keyOf(cluster)} at this moment`,
      );
    }
    await this.#options.routers.call(keyOf(cluster), credentials, {
      member: leader,
      make,
      method,
      signal,
    });
  }
}

async function unlessGone(deletion: Promise<void>): Promise<void> {
  try {
    await deletion;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
