// One seed from its foundation to its end: first everything may fail and nothing wrong may happen, then nothing fails
// any more and everything has to come to an end.

import { Coverage } from './coverage.ts';
import { Kernel } from './kernel.ts';
import { Member, type World } from './member.ts';
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
  /** What each member was at the end. */
  readonly members: readonly string[];
}

export async function runSeed(seed: number, keepsTrace = false): Promise<RunResult> {
  const run = new Run(seed, keepsTrace);
  const violation = await run.toTheEnd();
  const { kernel, trace, coverage, profile, network } = run.world;
  coverage.events = kernel.count;
  coverage.messages = network.messages;
  return {
    ...{ seed, violation, coverage, profile },
    hash: trace.hash,
    events: kernel.count,
    ms: kernel.nowMs,
    members: run.members,
    trace: trace.tail(60),
  };
}

class Run {
  readonly world: World;
  readonly #members = new Map<number, Member>();
  readonly #workload: Workload;
  readonly #operator: Operator;
  readonly #nemesis: Nemesis;
  #violation: Violation | undefined;

  constructor(seed: number, keepsTrace: boolean) {
    const profile = drawProfile(seed);
    const randoms = randomsOf(seed);
    const kernel = new Kernel();
    const trace = new Trace(() => kernel.nowMs, keepsTrace);
    const coverage = new Coverage();
    const member = (id: number): Member | undefined => this.#members.get(id);
    const network = new Network({
      ...{ kernel, profile, random: randoms.network, station: member },
      onSend: (message) => member(message.from)?.leaves(message),
      onReceive: ({ type, from, to, term }) => trace.note(type, from, to, term),
    });
    const violated = (violation: Violation): void => {
      this.#violation ??= violation;
    };
    this.world = {
      ...{ kernel, network, profile, truth: new Truth(), trace, coverage, member, violated },
      founders: Array.from({ length: profile.founders }, (_, at) => at + 1),
    };
    const members = (): readonly Member[] => [...this.#members.values()];
    const create = (id: number): Member => {
      const { clock } = randoms;
      const rate = profile.isClockSkewed ? 0.9 + clock.next() * 0.2 : 1;
      const skewMs = profile.isClockSkewed ? (clock.next() - 0.5) * 1_200_000 : 0;
      const made = new Member(id, this.world, randoms.members(id), { rate, skewMs });
      this.#members.set(id, made);
      return made;
    };
    const { world } = this;
    this.#workload = new Workload({ world, random: randoms.workload, members });
    this.#operator = new Operator({ world, random: randoms.operator, members, create });
    this.#nemesis = new Nemesis({
      ...{ world, random: randoms.nemesis, members, operator: this.#operator },
    });
    kernel.afterEvent = (owner) => this.#inspect(owner?.member);
    for (const id of this.world.founders) create(id).start();
  }

  async toTheEnd(): Promise<Violation | undefined> {
    const { kernel, profile } = this.world;
    const workload = this.#workload;
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
    return this.#violation;
  }

  get members(): readonly string[] {
    return [...this.#members.values()].map(({ description }) => description);
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
    if (!isReached) this.#violation ??= new Violation(`not within ${ms} ms: ${what}`);
  }

  #agree(): boolean {
    const { leader, ids } = this.#operator;
    if (leader === undefined) return false;
    const digests = new Set(ids.map((id) => this.#members.get(id)?.digest));
    return digests.size === 1 && leader.hasAppliedAll;
  }

  #inspect(id: number | undefined): void {
    try {
      if (id !== undefined) this.#members.get(id)?.inspect();
      else for (const member of this.#members.values()) member.inspect();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#violation ??= error;
    }
  }
}
