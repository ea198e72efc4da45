// Writes what is said of a cluster: to the very version that it was seen in, when it says something new, and with an event
// for each condition that turned.

import type { EtlRouterCluster, EtlRouterClusterStatus } from '@etl-router/crds';
import { isConflict, isNotFound } from '../runtime/api-error.ts';
import { digestOf, sameJson } from '../runtime/canonical.ts';
import type { EventRecorder } from '../runtime/events.ts';
import { keyOf, refOf, type UntypedObject } from '../runtime/kube-object.ts';
import type { RawKube } from '../runtime/raw-kube.ts';
import { clusterKind } from './kinds.ts';
import { LatestWrites } from './latest.ts';
import type { ClusterMetrics } from './metrics.ts';
import { fieldManager } from './names.ts';
import { transitionEvents } from './transitions.ts';

/**
 * `same`: it said so already. `outdated`: the cluster is another one by now than what the status was made from. `futile`:
 * the server keeps it as it was, as one does whose schema of the kind is older than this operator.
 */
export type StatusOutcome = 'written' | 'same' | 'outdated' | 'futile';

export class StatusWriter {
  /** Clusters as this process wrote them last. */
  readonly latest: LatestWrites<EtlRouterCluster> = new LatestWrites();
  readonly #options: {
    readonly client: Pick<RawKube, 'applyStatus'>;
    readonly events: EventRecorder;
    readonly metrics: ClusterMetrics;
  };
  /** Statuses that the server did not take, by their digests. */
  readonly #futile = new Map<string, string>();

  constructor(options: {
    readonly client: Pick<RawKube, 'applyStatus'>;
    readonly events: EventRecorder;
    readonly metrics: ClusterMetrics;
  }) {
    this.#options = options;
  }

  async write(
    cluster: EtlRouterCluster,
    status: EtlRouterClusterStatus,
    signal: AbortSignal,
  ): Promise<StatusOutcome> {
    const { events, metrics } = this.#options;
    const key = keyOf(cluster);
    metrics.show(key, status);
    if (sameJson(cluster.status ?? {}, status)) return 'same';
    const digest = digestOf(status);
    if (this.#futile.get(key) === digest) return 'futile';
    try {
      const written = await this.#send(cluster, status, signal);
      if (written.metadata.resourceVersion === cluster.metadata.resourceVersion) {
        this.#futile.set(key, digest);
        return 'futile';
      }
      this.#futile.delete(key);
      this.latest.note(key, cluster, written);
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) return 'outdated';
      throw error;
    }
    const turned = transitionEvents(cluster.status?.conditions, status.conditions ?? []);
    for (const event of turned) events.record(cluster, event);
    return 'written';
  }

  forget(key: string): void {
    this.latest.forget(key);
    this.#futile.delete(key);
  }

  async #send(
    cluster: EtlRouterCluster,
    status: EtlRouterClusterStatus,
    signal: AbortSignal,
  ): Promise<EtlRouterCluster> {
    const { apiVersion, kind } = clusterKind;
    const { name, namespace, uid, resourceVersion } = cluster.metadata;
    const metadata = { name, namespace, uid, resourceVersion };
    const body: UntypedObject = { apiVersion, kind, metadata, status };
    const options = { fieldManager, signal };
    return await this.#options.client.applyStatus(refOf(clusterKind, cluster), body, options);
  }
}
