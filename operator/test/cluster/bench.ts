// The real operator against the stand-in, on a clock that the test moves: what takes minutes elsewhere takes a second.

import assert from 'node:assert/strict';
import process from 'node:process';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  ManualClock,
  type Random,
  seededRandom,
  silentLogger,
  systemClock,
} from '@etl-router/core';
import {
  type EtlRouterCluster,
  type EtlRouterClusterStatus,
  etlRouterCluster,
  withDefaults,
} from '@etl-router/crds';
import { clusterFinalizer } from '../../src/cluster/controller.ts';
import { createOperator, type OperatorProcess } from '../../src/operator.ts';
import type { Settings } from '../../src/settings.ts';
import { FaultyApiServer } from '../faulty-api-server/faulty-api-server.ts';
import type { JsonObject } from '../faulty-api-server/json.ts';
import { clusters, StandIn } from './stand-in.ts';

const key = { collection: clusters, namespace: 'shop', name: 'main' };
const turnMs = 10;
const turnsATick = 40;
const turnsMax = 60_000;

let networks = 0;

/** Addresses that no other test has: files run beside each other, each in a process of its own. */
export function ownNetwork(): string {
  return `127.${1 + (process.pid % 250)}.${1 + networks++}`;
}

export interface RunningOperator {
  readonly process: OperatorProcess;
  /** Of probes and metrics. */
  readonly address: { readonly host: string; readonly port: number };
  /** A failpoint killed it. */
  dead: boolean;
  readonly ended: Promise<string>;
}

export class Bench {
  readonly clock: ManualClock;
  readonly random: Random = seededRandom(1);
  readonly server: FaultyApiServer;
  readonly standIn: StandIn;
  readonly #operators: RunningOperator[] = [];
  #turns = 0;

  private constructor(server: FaultyApiServer, clock: ManualClock) {
    this.clock = clock;
    this.server = server;
    const network = ownNetwork();
    this.standIn = new StandIn({ server, clock, random: this.random, network });
  }

  /** `agoMs`: how far in the past it begins, for those who let long times pass: certificates hold by the real time. */
  static async start(t: TestContext, agoMs = 0): Promise<Bench> {
    const clock = new ManualClock(systemClock.wallMs() - agoMs);
    const bench = new Bench(await FaultyApiServer.start(clock), clock);
    t.after(() => bench.#close());
    return bench;
  }

  /** Starts an operator; `failpoint` names where it dies. */
  async operator(options: Partial<Settings> = {}): Promise<RunningOperator> {
    const { clock, server } = this;
    const created: { running?: RunningOperator } = {};
    const operator = createOperator({
      settings: {
        podName: `operator-${this.#operators.length}`,
        leaseNamespace: 'etl-system',
        leaseName: 'etl-operator',
        routerImage: { repository: 'etl/router', version: 'v1' },
        watchNamespaces: [],
        logLevel: 'info',
        metrics: { host: '127.0.0.1', port: 0 },
        failpoint: undefined,
        ...options,
      },
      kubeConfig: server.kubeConfig(),
      clock,
      random: this.random,
      logger: silentLogger,
      die: () => {
        if (created.running !== undefined) created.running.dead = true;
        operator.abandon();
      },
    });
    const address = await operator.start();
    const ended = operator.operator.ended.then(String, String);
    const running = { process: operator, address, dead: false, ended };
    created.running = running;
    this.#operators.push(running);
    return running;
  }

  /** Declares the cluster. */
  declare(spec: JsonObject): void {
    declareCluster(this.server, spec);
  }

  /** Changes its spec. */
  change(spec: JsonObject): void {
    const { store } = this.server;
    const found = structuredClone(store.get(key));
    store.replace(key, { ...found, spec: { ...(found['spec'] as JsonObject), ...spec } });
  }

  /** `finalizers`: what the API server puts beside ours for the way in which it is deleted. */
  delete(finalizers: readonly string[] = []): void {
    const { store } = this.server;
    for (const value of finalizers)
      store.patch(key, [{ op: 'add', path: '/metadata/finalizers/-', value }]);
    store.delete(key);
  }

  /** Takes a finalizer off, as whoever put it there does. */
  dropFinalizer(name: string): void {
    const { store } = this.server;
    const found = structuredClone(store.get(key));
    const kept = this.cluster?.metadata.finalizers?.filter((each) => each !== name) ?? [];
    store.replace(key, { ...found, metadata: { ...found.metadata, finalizers: kept } });
  }

  /** Stops every operator in an orderly way. */
  async stopOperators(): Promise<void> {
    let over = false;
    const all = this.#operators.map((each) => each.process.manager.shutdown.stop('drained'));
    void Promise.all(all).then(() => {
      over = true;
    });
    await this.until(() => over, 'stopped');
  }

  /** The operator does not let the cluster go yet. */
  get isHeld(): boolean {
    return this.cluster?.metadata.finalizers?.includes(clusterFinalizer) === true;
  }

  get cluster(): EtlRouterCluster | undefined {
    return this.server.store.find(key) as unknown as EtlRouterCluster | undefined;
  }

  get status(): EtlRouterClusterStatus {
    return this.cluster?.status ?? {};
  }

  condition(type: string): string {
    const found = this.status.conditions?.find((each) => each.type === type);
    return `${found?.status} ${found?.reason}`;
  }

  /** The cluster is what its spec says, by its own word and in truth. */
  get isReady(): boolean {
    const { cluster } = this;
    const { group, pods } = this.standIn.world;
    const replicas = cluster?.spec.replicas;
    return (
      this.condition('Ready') === 'True Ready' &&
      cluster?.status?.observedGeneration === cluster?.metadata.generation &&
      cluster?.status?.operation === undefined &&
      group?.members.length === replicas &&
      pods.size === replicas
    );
  }

  /** Time goes on until it is so. */
  async until(condition: () => boolean, what: string): Promise<void> {
    for (let turn = 0; !condition(); turn++) {
      if (turn === turnsMax) assert.fail(`in vain: ${what}\n${this.#tell()}`);
      await this.#turn();
    }
  }

  /** Lets so much time pass. */
  async pass(ms: number, stepMs: number = turnMs): Promise<void> {
    const endMs = this.clock.monotonicMs() + ms;
    while (this.clock.monotonicMs() < endMs) await this.#turn(stepMs);
  }

  get events(): readonly string[] {
    return this.server.store
      .list('/apis/events.k8s.io/v1/events')
      .map((event) => `${event['reason'] as string}`);
  }

  /** Requests that changed something, but for the lease. */
  get writes(): readonly string[] {
    return this.server.writes
      .filter(({ path }) => !path.includes('/leases'))
      .map(({ verb, path, status }) => `${verb} ${path} ${status}`);
  }

  async #turn(stepMs: number = turnMs): Promise<void> {
    this.clock.advance(stepMs);
    await nextTurn();
    if (++this.#turns % turnsATick === 0) await this.standIn.tick();
    const [violation] = this.standIn.violations;
    if (violation !== undefined) throw violation;
  }

  #tell(): string {
    const { group, pods } = this.standIn.world;
    const conditions = this.status.conditions?.map(
      ({ type, status, reason, message }) => `${type} ${status} ${reason} ${message}`,
    );
    const status = { ...this.status, conditions };
    const told = { status, members: group?.members, pods: [...pods.keys()] };
    return JSON.stringify({ ...told, writes: this.writes.slice(-10) }, null, 1);
  }

  async #close(): Promise<void> {
    for (const { process: each, dead } of this.#operators) {
      if (dead) continue;
      let over = false;
      void each.manager.shutdown.stop('the test is over').then(() => {
        over = true;
      });
      while (!over) {
        this.clock.advance(100);
        await nextTurn();
      }
    }
    await this.standIn.close();
    await this.server.close();
  }
}

/** Makes the cluster `main` with the defaults of its kind, which a real server fills in. */
export function declareCluster({ store }: FaultyApiServer, spec: JsonObject): void {
  const object = {
    apiVersion: 'etl.router/v1',
    kind: 'EtlRouterCluster',
    metadata: { name: 'main', namespace: 'shop' },
    spec,
  };
  store.create(key, withDefaults(etlRouterCluster, object as never) as unknown as JsonObject);
}
