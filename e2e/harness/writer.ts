// The writer beside a router cluster: a pod that writes all the time, through the Service, as a client of the cluster
// does. What it was answered has to be there at the end.

import assert from 'node:assert/strict';
import { eventually } from './eventually.ts';
import { apply, kubectl } from './kubectl.ts';
import { startScript } from './script-pod.ts';

/** What was answered since a phase began. */
export interface Phase {
  readonly answered: number;
  readonly failed: number;
  /** Longest time between two answered writes of one client, of which there are four. */
  readonly longestGapMs: number;
  /** When it ended; left out while it goes on. */
  readonly gapEndedAt?: string;
  /** Answered in all phases. */
  readonly total: number;
  /** What failed writes were told, and how often. */
  readonly errors: { readonly [message: string]: number };
}

export interface Verdict extends Phase {
  readonly lostCount: number;
  readonly lost: readonly string[];
}

export interface WriterOptions {
  readonly namespace: string;
  /** The EtlRouterCluster. */
  readonly cluster: string;
  readonly name?: string;
  /** Node that it runs on; left out: any. */
  readonly node?: string;
}

/** A ServiceAccount that may use the API of the cluster with these verbs. */
export async function applyClient(
  namespace: string,
  name: string,
  verbs: readonly string[],
): Promise<void> {
  const api = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name, namespace } };
  const rule = { apiGroups: ['etl.router'], resources: ['etlrouterclusters/graphql'], verbs };
  await apply(
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace } },
    { ...api, kind: 'Role', rules: [rule] },
    {
      ...api,
      kind: 'RoleBinding',
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    },
  );
}

export class Writer {
  readonly #namespace: string;
  readonly #name: string;

  private constructor(namespace: string, name: string) {
    this.#namespace = namespace;
    this.#name = name;
  }

  /** Starts it and waits for the first answered writes. */
  static async start({
    namespace,
    cluster,
    name = 'writer',
    node,
  }: WriterOptions): Promise<Writer> {
    await applyClient(namespace, name, ['get', 'update']);
    const host = `${cluster}.${namespace}.svc.cluster.local`;
    const env = { TARGET: `http://${host}:8080/graphql`, RUN: name };
    await startScript({ namespace, name, script: 'writer.mjs', env, serviceAccount: name, node });
    const writer = new Writer(namespace, name);
    await eventually('the writer is answered', async () => (await writer.stats()).total > 10);
    await writer.phase();
    return writer;
  }

  stats(): Promise<Phase> {
    return this.#ask('stats');
  }

  /** Ends a phase and begins the next one; answers the one that ended. */
  phase(): Promise<Phase> {
    return this.#ask('phase');
  }

  /** Waits until writes are answered again. */
  async isAnswered(timeoutMs?: number): Promise<void> {
    const { total } = await this.stats();
    const patience = timeoutMs === undefined ? {} : { timeoutMs };
    await eventually(
      'writes are answered',
      async () => (await this.stats()).total > total + 5,
      patience,
    );
  }

  /** Stops writing and reads back: every answered write has to be there. */
  async finish(): Promise<Verdict> {
    const verdict = await this.#ask<Verdict>('finish', 120_000);
    assert.ok(verdict.total > 0, 'nothing was ever answered');
    assert.deepEqual(verdict.lost, [], `${verdict.lostCount} of ${verdict.total} writes are lost`);
    return verdict;
  }

  async #ask<T = Phase>(path: string, timeoutMs = 30_000): Promise<T> {
    const proxy = `/api/v1/namespaces/${this.#namespace}/pods/${this.#name}:8080/proxy`;
    return JSON.parse(await kubectl(['get', '--raw', `${proxy}/${path}`], { timeoutMs })) as T;
  }
}
