// The operator of the model: sees the world late and in parts, asks for a plan, and does what it says until it dies.

import type { EtlRouterCluster } from '@etl-router/crds';
import type { Plan } from '../../src/cluster/plan.ts';
import type { ClaimView, ClusterView, PodView } from '../../src/cluster/view.ts';
import { project, sameJson } from '../../src/runtime/canonical.ts';
import type { UntypedObject } from '../../src/runtime/kube-object.ts';
import { perform, Refused, staleMax } from './acts.ts';
import { wordsOf } from './words.ts';
import type { Claim, Pod, World } from './world.ts';

export type Planner = (view: ClusterView) => Plan;

/** What may go wrong in a run, as probabilities. */
export interface Trouble {
  readonly stale: number;
  readonly silent: number;
  readonly dies: number;
  readonly fails: number;
  readonly twice: number;
}

export const noTrouble: Trouble = { stale: 0, silent: 0, dies: 0, fails: 0, twice: 0 };

interface Seen {
  readonly cluster: EtlRouterCluster;
  readonly objects: ReadonlyMap<string, UntypedObject>;
  readonly pods: readonly PodView[];
  readonly claims: readonly ClaimView[];
}

export const stepMs = 5000;
const epochMs = Date.UTC(2026, 0, 1);

export class Operator {
  readonly #world: World;
  readonly #plan: Planner;
  readonly #past: Seen[] = [];
  /** What was found to be applied already, so that it is not compared again. */
  readonly #same = new WeakMap<UntypedObject, string>();
  /** How late each cache is; it only moves on. */
  readonly #late = { cluster: 0, objects: 0, pods: 0, claims: 0 };
  #failures: { readonly act: string; readonly count: number } | undefined;
  lastPlan: Plan | undefined;
  /** What it did, for messages. */
  readonly log: string[] = [];

  constructor(world: World, plan: Planner) {
    this.#world = world;
    this.#plan = plan;
  }

  /** One run of the controller. */
  run(trouble: Trouble): void {
    const world = this.#world;
    this.#past.push(this.#see());
    if (this.#past.length > staleMax + 1) this.#past.shift();
    const view = this.#view(trouble);
    const plan = this.#plan(view);
    this.lastPlan = plan;
    if (!this.#writeStatus(view, plan) || world.chance(trouble.dies)) return this.#die();
    const sent = plan.objects.filter((object) => this.#apply(view, object, trouble));
    for (const { kind, metadata } of plan.unwanted)
      world.objects.delete(`${kind}/${metadata.name}`);
    if (sent.length > 0) return;
    if (plan.act === undefined || plan.act.kind === 'record') return;
    if (world.chance(trouble.dies)) return this.#die();
    this.#act(plan, trouble);
  }

  #act({ act }: Plan, trouble: Trouble): void {
    const world = this.#world;
    if (act === undefined) return;
    const text = JSON.stringify(act);
    try {
      if (world.chance(trouble.fails)) throw new Refused('timed out');
      this.log.push(`${world.step} ${text}`);
      perform(world, act);
      if (world.chance(trouble.twice)) perform(world, act);
      if (world.chance(trouble.fails)) throw new Refused('no answer');
      this.#failures = undefined;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.log.push(`${world.step} refused: ${error.message}`);
      const known = this.#failures?.act === text ? this.#failures.count : 0;
      this.#failures = { act: text, count: known + 1 };
    }
    if (world.chance(trouble.dies)) this.#die();
  }

  /** A new process knows nothing but what it sees. */
  #die(): void {
    this.#failures = undefined;
    for (const name of Object.keys(this.#late)) this.#late[name as keyof Seen] = 0;
  }

  #writeStatus({ cluster }: ClusterView, { status }: Plan): boolean {
    const world = this.#world;
    if (JSON.stringify(status) === JSON.stringify(cluster.status)) return true;
    if (world.cluster.metadata.resourceVersion !== cluster.metadata.resourceVersion) return false;
    world.cluster = { ...world.cluster, status };
    world.touch();
    return true;
  }

  /** True when something was sent. */
  #apply(view: ClusterView, object: UntypedObject, trouble: Trouble): boolean {
    const cached = view.objects.get(`${object.kind}/${object.metadata.name}`);
    const text = JSON.stringify(object);
    if (cached !== undefined && this.#same.get(cached) === text) return false;
    const wanted = JSON.parse(text) as UntypedObject;
    if (cached !== undefined && sameJson(project(cached, wanted), wanted)) {
      this.#same.set(cached, text);
      return false;
    }
    if (this.#world.chance(trouble.fails)) return true;
    this.#world.putObject(wanted);
    return true;
  }

  #see(): Seen {
    const world = this.#world;
    return {
      cluster: world.cluster,
      objects: new Map(world.objects),
      pods: [...world.pods.values()]
        .map((pod) => this.#podView(pod))
        .toSorted((a, b) => a.ordinal - b.ordinal),
      claims: [...world.claims.values()].map((claim) => claimView(claim)),
    };
  }

  #podView(pod: Pod): PodView {
    const { ordinal, uid, version, revision, unrecoverable } = pod;
    return {
      name: `main-${ordinal}`,
      ...{ ordinal, uid, revision, unrecoverable },
      resourceVersion: String(version),
      unreadySinceMs: epochMs + pod.unreadyStep * stepMs,
      ready: pod.reportedReady,
      running: pod.reportedRunning,
      waitsFor: pod.isBad ? 'ImagePullBackOff' : undefined,
      terminating: pod.terminatingUntil !== undefined,
      isStuck: pod.nodeLost,
    };
  }

  /** What the caches say, each as late as it is. */
  #cached<Part extends keyof Seen>(part: Part, stale: number): Seen[Part] {
    const world = this.#world;
    const late = world.chance(stale) ? this.#late[part] + 1 : world.random.below(2);
    this.#late[part] = Math.min(late, staleMax, this.#late[part] + 1, this.#past.length - 1);
    if (stale === 0) this.#late[part] = 0;
    const seen = this.#past[this.#past.length - 1 - this.#late[part]] as Seen;
    return seen[part];
  }

  #view({ stale, silent }: Trouble): ClusterView {
    const world = this.#world;
    const cluster = this.#cached('cluster', stale);
    const cachedPods = this.#cached('pods', stale);
    const cachedClaims = this.#cached('claims', stale);
    // While something is done, pods and claims are read from the server itself.
    const isBusy = cluster.status?.operation !== undefined;
    const live = this.#see();
    const isDeaf = world.chance(silent / 2);
    const words = [...world.pods.values()].flatMap((pod) =>
      isDeaf || world.chance(silent) ? [] : wordsOf(world, pod, world.random.below(5000)),
    );
    return {
      nowMs: epochMs + world.step * stepMs,
      cluster,
      installed: { repository: 'etl/router', version: '1' },
      objects: this.#cached('objects', stale),
      pods: isBusy ? live.pods : cachedPods,
      claims: isBusy ? live.claims : cachedClaims,
      words,
      certificates: { state: 'valid' },
      ...(this.#failures === undefined
        ? {}
        : { failure: { count: this.#failures.count, message: 'it failed' } }),
    };
  }
}

function claimView({ ordinal, uid, terminating, size, owner, givenUpBy }: Claim): ClaimView {
  return { name: `data-main-${ordinal}`, ordinal, uid, terminating, size, owner, givenUpBy };
}
