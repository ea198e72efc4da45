// One seed from its foundation to its end: first everything may fail and nothing wrong may happen, then nothing fails
// any more and everything has to come to an end.

import type { Operation } from '../linearizability/operations.ts';
import { Cluster } from './cluster.ts';
import { Coverage } from './coverage.ts';
import { calmer, drawFaults, type Fault, type Plan } from './faults.ts';
import { withSimulatedHost } from './host.ts';
import { Kernel } from './kernel.ts';
import type { Member, World } from './member.ts';
import { Nemesis } from './nemesis.ts';
import { Network } from './network.ts';
import { Operator } from './operator.ts';
import { drawProfile, type Profile, randomsOf } from './profile.ts';
import { Trace } from './trace.ts';
import { Truth } from './truth.ts';
import { Violation } from './violation.ts';
import { Workload } from './workload.ts';

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly hash: number;
  readonly events: number;
  readonly ms: number;
  readonly coverage: Coverage;
  readonly trace: readonly string[];
  readonly profile: Profile;
  /** Those of the plan, and the numbers of those that happened before the end. */
  readonly faults: readonly Fault[];
  readonly happened: readonly number[];
  /** What each member was at the end. */
  readonly members: readonly string[];
}

export interface RunOptions {
  readonly keepsTrace?: boolean;
  /** Leaves something out. */
  readonly plan?: Plan;
  /** Told what clients asked and were told, at the end. */
  readonly onHistory?: (history: readonly Operation[]) => void;
}

export async function runSeed(seed: number, options: RunOptions = {}): Promise<RunResult> {
  const run = new Run(seed, options);
  const { kernel, trace, coverage, profile, network, truth } = run.world;
  const violation = await withSimulatedHost(kernel, () => run.toTheEnd());
  options.onHistory?.(run.history);
  coverage.note('events', kernel.count);
  coverage.note('messages', network.messages);
  coverage.note('repeats', truth.repeats);
  return {
    ...{ seed, violation, coverage, profile, faults: run.faults, happened: run.happened },
    hash: trace.hash,
    events: kernel.count,
    ms: kernel.nowMs,
    members: run.members,
    trace: trace.tail(transcriptLines),
  };
}

/** Lines of what happened that a run gives back. */
const transcriptLines = 400;

/** Events that may wait at a time. */
const maxWaiting = 200_000;

class Run {
  readonly world: World;
  readonly faults: readonly Fault[];
  readonly #cluster: Cluster;
  readonly #workload: Workload;
  readonly #operator: Operator;
  readonly #nemesis: Nemesis;
  #violation: Violation | undefined;

  constructor(seed: number, { keepsTrace = false, plan = {} }: RunOptions) {
    const profile = calmer(drawProfile(seed), plan.without);
    const randoms = randomsOf(seed);
    const kernel = new Kernel();
    const trace = new Trace(() => kernel.nowMs, keepsTrace);
    const coverage = new Coverage();
    const member = (id: number): Member | undefined => this.#cluster.member(id);
    const network = new Network({
      ...{ kernel, profile, random: randoms.network, station: member },
      onForward: () => coverage.note('proposals forwarded'),
      onSend: (message) => {
        // Whoever sends would take it for an error of the network.
        this.#guard(() => member(message.from)?.leaves(message));
      },
      onReceive: ({ type, from, to, term }) => trace.note(type, from, to, term),
    });
    const violated = (violation: Violation): void => {
      this.#violation ??= violation;
    };
    this.world = {
      ...{ seed, kernel, network, profile, truth: new Truth(), trace, coverage, member, violated },
      hasLoad: () => this.#workload.writing > 0,
    };
    const { world } = this;
    const cluster = new Cluster(world, randoms.clock);
    this.#cluster = cluster;
    this.#workload = new Workload({ world, random: randoms.workload, cluster });
    this.#operator = new Operator({ world, random: randoms.operator, cluster });
    const all = drawFaults(seed, profile);
    this.faults = all.filter(({ number }) => plan.faults?.has(number) ?? true);
    this.#nemesis = new Nemesis({
      ...{ world, random: randoms.nemesis, cluster, operator: this.#operator },
      faults: this.faults,
    });
    kernel.afterEvent = (owner) => this.#inspect(owner?.member);
  }

  async toTheEnd(): Promise<Violation | undefined> {
    const { kernel, profile } = this.world;
    const workload = this.#workload;
    await this.#cluster.found(profile.founders);
    this.#operator.start();
    workload.start();
    await this.#until('the cluster is founded', 60_000, () => this.#operator.isFounded);
    this.#nemesis.start();
    const endMs = kernel.nowMs + profile.maxMs;
    await kernel.run(
      () => this.#isOver || kernel.count >= profile.maxEvents || kernel.nowMs >= endMs,
    );
    this.#nemesis.calm();
    this.#operator.calm();
    await this.#until('there is a leader', profile.electionMs * 20 + profile.syncMs * 20, () => {
      return this.#operator.leader !== undefined;
    });
    workload.end();
    await this.#until('clients are answered', 60_000, () => workload.busy === 0);
    await this.#until('members are repaired', 60_000, () => this.#operator.isContent);
    await this.#until('members agree', 60_000, () => this.#agree());
    const complaint = this.#isOver ? undefined : workload.history.complaint();
    if (complaint !== undefined) this.#violation = new Violation('Linearizability', complaint);
    return this.#violation;
  }

  get happened(): readonly number[] {
    return this.#nemesis.happened;
  }

  get history(): readonly Operation[] {
    return this.#workload.history.operations;
  }

  get members(): readonly string[] {
    return this.#cluster.members.map(({ description }) => description);
  }

  get #isOver(): boolean {
    return this.#violation !== undefined;
  }

  /** Liveness: what has to come true in time. */
  async #until(what: string, ms: number, isTrue: () => boolean): Promise<void> {
    const { kernel, trace } = this.world;
    if (this.#isOver) return;
    const endMs = kernel.nowMs + ms;
    let checked = 0;
    let isReached = false;
    await kernel.run(() => {
      // What is waited for is asked for only now and then: it looks at everyone.
      if (kernel.nowMs >= checked) {
        checked = kernel.nowMs + 20;
        isReached = isTrue();
      }
      return isReached || this.#isOver || kernel.nowMs > endMs;
    });
    trace.note(what);
    if (!isReached) this.#violation ??= new Violation('Liveness', `not within ${ms} ms: ${what}`);
  }

  #agree(): boolean {
    const { leader, ids } = this.#operator;
    if (leader === undefined) return false;
    const digests = new Set(ids.map((id) => this.#cluster.member(id)?.digest));
    return digests.size === 1 && leader.hasAppliedAll;
  }

  /** A run that goes on and on is one of members that never agree on anything. */
  #checkBounds(): void {
    const { kernel, profile } = this.world;
    const isEndless = kernel.count > profile.maxEvents * 40 || kernel.waiting > maxWaiting;
    if (!isEndless) return;
    const why = `${kernel.count} events have run and ${kernel.waiting} wait`;
    throw new Violation('Runaway', `it has not come to an end: ${why}`);
  }

  #inspect(id: number | undefined): void {
    this.#guard(() => {
      this.#checkBounds();
      if (id !== undefined) this.#cluster.member(id)?.inspect();
      else for (const member of this.#cluster.members) member.inspect();
    });
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#violation ??= error;
    }
  }
}
