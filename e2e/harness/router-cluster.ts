// An EtlRouterCluster under test: applied, changed and read as its users do.

import assert from 'node:assert/strict';
import type { EtlRouterClusterStatus } from '@etl-router/crds';
import { eventually } from './eventually.ts';
import { tokenOf, type Word, wordOf } from './graphql.ts';
import { apply, get, type KubeObject, kubectl, list } from './kubectl.ts';
import { applyClient } from './writer.ts';

/** A part of an object. */
export type Json = { readonly [field: string]: unknown };

export interface ClusterObject extends KubeObject {
  readonly spec: Json;
  readonly status?: EtlRouterClusterStatus;
}

export interface Pod extends KubeObject {
  readonly spec: {
    readonly nodeName?: string;
    readonly containers: readonly { readonly image: string }[];
  };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

export const isReady = ({ status }: Pod): boolean =>
  status.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') === true;

/** Small enough for many of them on a machine with two processors. */
const small = { requests: { cpu: '50m', memory: '96Mi' }, limits: { memory: '512Mi' } };

export class RouterCluster {
  readonly namespace: string;
  readonly name: string;

  constructor(namespace: string, name: string) {
    this.namespace = namespace;
    this.name = name;
  }

  static async apply(namespace: string, name: string, spec: Json): Promise<RouterCluster> {
    const cluster = new RouterCluster(namespace, name);
    const { template, storage, ...rest } = spec as { template?: Json; storage?: Json };
    await apply({
      apiVersion: 'etl.router/v1',
      kind: 'EtlRouterCluster',
      metadata: { name, namespace },
      spec: {
        ...rest,
        template: { resources: small, ...template },
        storage: { size: '1Gi', ...storage },
      },
    });
    return cluster;
  }

  get(): Promise<ClusterObject> {
    return get<ClusterObject>('erc', this.name, this.namespace);
  }

  async status(): Promise<EtlRouterClusterStatus> {
    return (await this.get()).status ?? {};
  }

  /** Merges into the spec. */
  async patch(spec: Json): Promise<void> {
    const body = JSON.stringify({ spec });
    await this.#kubectl('patch', 'erc', this.name, '--type=merge', '-p', body);
  }

  async scale(replicas: number): Promise<void> {
    await this.#kubectl('scale', `erc/${this.name}`, `--replicas=${replicas}`);
  }

  async condition(type: string): Promise<{ status: string; reason: string; message: string }> {
    const found = (await this.status()).conditions?.find((each) => each.type === type);
    return { status: 'Unknown', reason: '', message: '', ...found };
  }

  /** Waits until the operator says that the spec as it is now is reached. */
  async ready(timeoutMs = 120_000): Promise<EtlRouterClusterStatus> {
    let last = '';
    const look = async (): Promise<EtlRouterClusterStatus | undefined> => {
      const { metadata, status = {} } = await this.get();
      const ready = status.conditions?.find(({ type }) => type === 'Ready');
      last = `${ready?.reason ?? 'no status'}: ${ready?.message ?? ''}`;
      const isSeen =
        status.observedGeneration === metadata.generation &&
        ready?.observedGeneration === metadata.generation;
      return isSeen && ready?.status === 'True' && status.operation === undefined
        ? status
        : undefined;
    };
    try {
      return await eventually(`${this.name} is Ready`, look, { timeoutMs });
    } catch (error) {
      throw new Error(`${(error as Error).message} (${last})`, { cause: error });
    }
  }

  /** Has the operator look at it again and waits until it says ready: what it said before does not count. */
  async readyAnew(): Promise<EtlRouterClusterStatus> {
    await this.patch({ reconciliation: 'paused' });
    await this.is('ReconciliationPaused', 'True');
    await this.patch({ reconciliation: 'active' });
    return await this.ready();
  }

  /** Waits for a condition to be so, with a reason where one is given. */
  async is(type: string, status: string, reason?: string, timeoutMs?: number): Promise<void> {
    const wanted = reason === undefined ? `${type}=${status}` : `${type}=${status} ${reason}`;
    await eventually(
      `${this.name} is ${wanted}`,
      async () => {
        const found = await this.condition(type);
        return found.status === status && (reason === undefined || found.reason === reason);
      },
      timeoutMs === undefined ? {} : { timeoutMs },
    );
  }

  pods(): Promise<readonly Pod[]> {
    return list<Pod>('pods', this.namespace, `etl.router/cluster=${this.name}`);
  }

  pod(ordinal: number): Promise<Pod> {
    return get<Pod>('pod', `${this.name}-${ordinal}`, this.namespace);
  }

  /** Name of the pod that leads, as the status says. */
  async leader(): Promise<string> {
    return eventually('a leader is known', async () => (await this.status()).leader?.name);
  }

  /** Deletes pods as someone by hand does, without waiting for them. */
  async deletePods(...names: readonly string[]): Promise<void> {
    await this.#kubectl('delete', 'pod', ...names, '--wait=false');
  }

  /** Waits until another pod has taken the place of this one. */
  async replaced(pod: Pod, timeoutMs = 120_000): Promise<Pod> {
    const { name, uid } = pod.metadata;
    return eventually(
      `${name} is replaced and ready`,
      async () => {
        const now = await get<Pod>('pod', name, this.namespace);
        return now.metadata.uid !== uid && isReady(now) ? now : undefined;
      },
      { timeoutMs },
    );
  }

  /** Names of members that vote, sorted. */
  async voters(): Promise<readonly string[]> {
    const { members = [] } = await this.status();
    return members
      .filter(({ role }) => role === 'voter')
      .map(({ name }) => name)
      .sort();
  }

  /** Claims by name. */
  async claims(): Promise<readonly string[]> {
    const claims = await list('pvc', this.namespace);
    return claims
      .map(({ metadata }) => metadata.name)
      .filter((name) => name.startsWith(`data-${this.name}-`))
      .sort();
  }

  /** Every pod with its uid and how often its container was started again: the same text, the same runs. */
  async runs(): Promise<readonly string[]> {
    return (await this.pods())
      .map(({ metadata, status }) => {
        const restarts = status.containerStatuses?.map(({ restartCount }) => restartCount).join();
        return `${metadata.name} ${metadata.uid} ${restarts ?? ''}`;
      })
      .sort();
  }

  /** What each pod itself says, by its name; undefined for one that does not answer. */
  async words(): Promise<ReadonlyMap<string, Word | undefined>> {
    await applyClient(this.namespace, 'reader', ['get']);
    const token = await tokenOf(this.namespace, 'reader');
    const asked = (await this.pods()).map(async ({ metadata: { name } }) => {
      const word = await wordOf(this.namespace, name, token).catch(() => undefined);
      return [name, word] as const;
    });
    return new Map(await Promise.all(asked));
  }

  /** Which cluster each pod says to belong to. */
  async clusterIds(): Promise<ReadonlyMap<string, string | undefined>> {
    return new Map([...(await this.words())].map(([name, word]) => [name, word?.clusterId]));
  }

  /** Who each pod says to be, once all of so many say it. */
  raftIds(count: number): Promise<{ readonly [pod: string]: string | undefined }> {
    return eventually('each member tells its id', async () => {
      const words = [...(await this.words())];
      const isTold = words.length === count && words.every(([, word]) => word !== undefined);
      return isTold && Object.fromEntries(words.map(([name, word]) => [name, word?.raftId]));
    });
  }

  /** The cluster that was founded: by its status and by each member's own word, each under an id of its own. */
  async isStill(clusterId: string | undefined): Promise<void> {
    assert.ok(clusterId !== undefined && clusterId !== '', 'the cluster was founded');
    const { clusterID, members = [] } = await this.status();
    assert.equal(clusterID, clusterId, 'the cluster is the one that was founded');
    const ids = members.map(({ memberID }) => memberID);
    assert.equal(new Set(ids).size, ids.length, 'each member has an id of its own');
    const told = await eventually('each member tells its cluster', async () => {
      const words = await this.clusterIds();
      return [...words.values()].every((id) => id !== undefined) && words;
    });
    assert.deepEqual(
      Object.fromEntries(told),
      Object.fromEntries(members.map(({ name }) => [name, clusterId])),
      'each member belongs to the cluster that was founded',
    );
  }

  async #kubectl(...args: readonly string[]): Promise<void> {
    await kubectl([...args, '-n', this.namespace]);
  }
}
