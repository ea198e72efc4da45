// The way to a router in Kubernetes: kubeconfig, EtlRouterCluster, pod, connection, token. Each is found out when it is
// first needed and kept for the command.

import { isEtlError } from '@etl-router/core';
import { bearerHeaders } from '../bearer-headers.ts';
import type { GlobalOptions, Io } from '../io.ts';
import type { KubernetesPlace } from '../place.ts';
import { type Door, doctorHint, type Entrance, type Route } from '../route.ts';
import { KubernetesAccess } from './access.ts';
import { ApiServer } from './api-server.ts';
import { bearerOf } from './bearer.ts';
import { findCluster, findPods, inOrder } from './find.ts';
import { has, isReady, type Pod, type RouterCluster } from './objects.ts';
import { ForwardAgent } from './port-forward.ts';

const httpPort = 8080;

/** While there are other pods, one is not waited for longer, in milliseconds: its node may be gone. */
const patienceMs = 5000;

const awayCodes: ReadonlySet<string> = new Set(['ETL_UNAVAILABLE', 'ETL_TIMEOUT']);

export class KubernetesRoute implements Route {
  readonly #place: KubernetesPlace;
  readonly #timeoutMs: number;
  readonly #io: Io;
  readonly #agents = new Map<string, ForwardAgent>();
  #server: ApiServer | undefined;
  #found: Promise<RouterCluster> | undefined;
  #pods: Promise<readonly Pod[]> | undefined;
  #bearer: Promise<string> | undefined;

  constructor(place: KubernetesPlace, globals: Pick<GlobalOptions, 'timeoutMs'>, io: Io) {
    this.#place = place;
    this.#timeoutMs = globals.timeoutMs;
    this.#io = io;
  }

  /** The API server. Throws ETL_CONFIG_INVALID where no kubeconfig leads to one. */
  get server(): ApiServer {
    if (this.#server === undefined) {
      const access = KubernetesAccess.load(this.#place, this.#timeoutMs, this.#io);
      this.#server = new ApiServer(access, this.#timeoutMs, this.#io);
    }
    return this.#server;
  }

  async namespace(): Promise<string | undefined> {
    try {
      return this.server.access.namespace;
    } catch {
      // A command that needs the kubeconfig says so itself.
      return undefined;
    }
  }

  /** Where the EtlRouterCluster is looked for. */
  get clusterNamespace(): string {
    return this.#place.namespace ?? this.server.access.namespace ?? 'default';
  }

  async cluster(): Promise<string> {
    const { metadata } = await this.routerCluster();
    return `${metadata.namespace}/${metadata.name}`;
  }

  async isManaged(): Promise<boolean> {
    const { status } = await this.routerCluster();
    return !has(status?.conditions, 'ReconciliationPaused', 'True');
  }

  async entrances(): Promise<readonly Entrance[]> {
    return (await this.pods()).map((pod) => ({
      pod: pod.metadata.name,
      isReady: isReady(pod),
      open: () => this.openPod(pod.metadata.name),
    }));
  }

  /** The EtlRouterCluster that is meant. */
  routerCluster(): Promise<RouterCluster> {
    this.#found ??= findCluster(this.server, this.clusterNamespace, this.#place.cluster);
    return this.#found;
  }

  /** Its pods. */
  pods(): Promise<readonly Pod[]> {
    this.#pods ??= this.routerCluster().then((cluster) => findPods(this.server, cluster));
    return this.#pods;
  }

  /** The first of the pods that takes a connection; whatever way it does not, the next one may. */
  async open(): Promise<Door> {
    const pods = inOrder(await this.routerCluster(), await this.pods());
    const { clock } = this.#io;
    const endsAtMs = clock.monotonicMs() + this.#timeoutMs;
    const shareMs = Math.min(patienceMs, this.#timeoutMs / pods.length);
    let failure: unknown;
    for (const [index, pod] of pods.entries()) {
      const isLast = index === pods.length - 1;
      const door = await this.openPod(pod.metadata.name);
      try {
        const timeoutMs = isLast ? Math.max(shareMs, endsAtMs - clock.monotonicMs()) : shareMs;
        await this.#agents.get(pod.metadata.name)?.dial(Math.ceil(timeoutMs));
        return door;
      } catch (error) {
        if (!isEtlError(error) || !awayCodes.has(error.code)) throw error;
        failure ??= error;
      }
    }
    throw failure;
  }

  async openLeader(httpAddress: string): Promise<Door | undefined> {
    const name = httpAddress.split(/[.:]/)[0];
    const pod = (await this.pods()).find(({ metadata }) => metadata.name === name);
    return pod === undefined ? undefined : this.openPod(pod.metadata.name);
  }

  /** The router of one pod, whatever state it is in. */
  async openPod(pod: string): Promise<Door> {
    const cluster = await this.routerCluster();
    const namespace = cluster.metadata.namespace ?? this.clusterNamespace;
    this.#bearer ??= bearerOf(this.server, this.#place, namespace);
    const token = await this.#bearer;
    const { config } = this.server.access;
    const { clock, signal } = this.#io;
    const way = { config, clock, signal, timeoutMs: this.#timeoutMs };
    const agent =
      this.#agents.get(pod) ?? new ForwardAgent({ namespace, pod, port: httpPort }, way);
    this.#agents.set(pod, agent);
    return {
      url: new URL(`http://${pod}.${namespace}:${httpPort}/graphql`),
      shown: `router ${namespace}/${pod}`,
      hint: doctorHint,
      headers: bearerHeaders(token),
      agent,
    };
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }
}
