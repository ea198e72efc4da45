// Whoever runs the cluster: founds it, replaces members whose disk is gone, and changes it for no reason. It knows what
// an operator may know: the members as of the leader's state. It never has two lost disks at a time.

import type { Random } from '@etl-router/core';
import { type Configuration, isJoint } from '../src/raft/configuration.ts';
import type { MembershipChange, MembershipStep } from '../src/raft/membership.ts';
import type { Peer } from '../src/raft/transport.ts';
import type { Cluster } from './cluster.ts';
import type { Member, World } from './member.ts';

export interface OperatorParts {
  readonly world: World;
  readonly random: Random;
  readonly cluster: Cluster;
}

/** What an operator is asked to do sooner or later. */
interface Wishes {
  churn: boolean;
  transfer: boolean;
  /** Who is to lead, tried until then. */
  leader: { readonly id: number; readonly afterTerm: number; readonly untilMs: number } | undefined;
}

export class Operator {
  readonly #parts: OperatorParts;
  readonly #wishes: Wishes = { churn: false, transfer: false, leader: undefined };
  #isChurning = false;
  #isChanging = false;
  /** The cluster had all its members once. */
  isFounded = false;

  constructor(parts: OperatorParts) {
    this.#parts = parts;
  }

  start(): void {
    const { kernel } = this.#parts.world;
    this.#isChurning = true;
    const turn = (): void => {
      const isUrgent = this.#wishes.leader !== undefined;
      kernel.after(isUrgent ? 20 : 100 + this.#parts.random.below(200), undefined, turn);
      if (this.#isChanging) return;
      this.#isChanging = true;
      void this.#act().finally(() => {
        this.#isChanging = false;
      });
    };
    turn();
  }

  /** From here on it only repairs. */
  calm(): void {
    this.#isChurning = false;
  }

  /** Changes the members for no reason, as soon as it can. */
  wantChurn(): void {
    this.#wishes.churn = true;
  }

  wantTransfer(): void {
    this.#wishes.transfer = true;
  }

  /** Hands leadership to that member, if there is time in the next seconds. */
  wantLeader(id: number): void {
    const { kernel, member } = this.#parts.world;
    const afterTerm = member(id)?.node?.status().term ?? 0;
    this.#wishes.leader = { id, afterTerm, untilMs: kernel.nowMs + 3000 };
  }

  /** The leader, as far as there is one. */
  get leader(): Member | undefined {
    return this.#parts.cluster.members
      .filter(({ isLeader }) => isLeader)
      .toSorted((a, b) => (b.node?.status().term ?? 0) - (a.node?.status().term ?? 0))[0];
  }

  /** Nothing is left to repair. */
  get isContent(): boolean {
    const { leader } = this;
    return leader !== undefined && !this.#isChanging && this.#plan(leader) === undefined;
  }

  /** The ids that belong to the cluster as the leader knows it. */
  get ids(): readonly number[] {
    return this.leader?.node?.membership.members.map(({ id }) => id) ?? [];
  }

  /** Whether a voter's disk may be lost now without losing what is committed. */
  mayWipe(victim: Member): boolean {
    const { leader } = this;
    const configuration = leader?.node?.membership.configuration;
    if (leader === undefined || configuration === undefined || this.#isChanging) return false;
    const { cluster, world } = this.#parts;
    const { voters } = configuration;
    if (isJoint(configuration) || !voters.includes(victim.id) || voters.length < 3) return false;
    const others = cluster.members.filter(({ id }) => voters.includes(id) && id !== victim.id);
    const areFine = others.every(({ isUp, hasLostDisk, hasUncommittedChange, node }) => {
      // A change holds for whoever applied it. Who only stores it elects by what was before, when that took the victim.
      const knowsVoters = node !== undefined && hasVoters(node.membership.configuration, voters);
      return isUp && !hasLostDisk && !hasUncommittedChange && knowsVoters;
    });
    return areFine && !victim.hasUncommittedChange && world.network.isWhole;
  }

  async #act(): Promise<void> {
    const { world, random } = this.#parts;
    const { leader } = this;
    if (leader?.node === undefined) return;
    const { membership } = leader.node;
    this.#retire(membership.removed);
    const { voters } = membership.configuration;
    this.isFounded ||= voters.length >= world.profile.members;
    const patience = new AbortController();
    const cancel = world.kernel.after(1000 + random.below(5000), undefined, () => patience.abort());
    try {
      const to = this.#successor(leader, voters);
      const change = to === undefined ? await this.#change(leader) : undefined;
      if (to !== undefined) await this.#transfer(leader, to, patience.signal);
      else if (change !== undefined) {
        world.trace.note('members', leader.id, ...change.steps.map(({ id }) => id));
        await leader.whileUp(leader.node.changeMembers(change, { signal: patience.signal }));
        world.coverage.note('changes');
      }
    } catch {
      // It looks again in a moment.
    } finally {
      cancel();
    }
  }

  /** Whoever was removed is switched off some time later. */
  #retire(removed: readonly number[]): void {
    const { random, cluster } = this.#parts;
    for (const member of cluster.members) {
      if (!removed.includes(member.id) || member.isRetired || random.below(10) > 0) continue;
      member.kill('power');
      member.isRetired = true;
    }
  }

  /** Who is to take over leadership now; undefined: nobody. */
  #successor(leader: Member, voters: readonly number[]): number | undefined {
    const { world, random } = this.#parts;
    const wishes = this.#wishes;
    const { leader: wanted } = wishes;
    if (!this.#isChurning) return undefined;
    if (wanted !== undefined) {
      const leads = leader.id === wanted.id;
      const isOver = leads && (leader.node?.status().term ?? 0) > wanted.afterTerm;
      if (isOver || wanted.untilMs < world.kernel.nowMs) wishes.leader = undefined;
      else if (!leads && voters.includes(wanted.id)) return wanted.id;
    }
    if (!wishes.transfer) return undefined;
    wishes.transfer = false;
    return voters[random.below(voters.length)];
  }

  async #transfer(leader: Member, to: number, signal: AbortSignal): Promise<void> {
    const { trace, coverage } = this.#parts.world;
    trace.note('transfer', leader.id, to);
    await leader.whileUp(leader.node?.transferTo(to, signal) ?? Promise.resolve());
    coverage.note('transfers');
  }

  async #change(leader: Member): Promise<MembershipChange | undefined> {
    const draft = this.#plan(leader) ?? this.#whim(leader);
    if (draft === undefined) return undefined;
    const steps: MembershipStep[] = [];
    for (const { what, who } of draft.steps) {
      const peer = who ?? (await this.#fresh(leader, steps));
      steps.push({ step: what, ...peer });
    }
    return { steps, autoLeave: draft.autoLeave };
  }

  /** What the cluster needs. */
  #plan(leader: Member): Draft | undefined {
    const { world, random, cluster } = this.#parts;
    const configuration = leader.node?.membership.configuration;
    if (configuration === undefined) return undefined;
    if (isJoint(configuration))
      return configuration.autoLeave ? undefined : { steps: [], autoLeave: false };
    const { voters, learners } = configuration;
    const lost = cluster.members.find(({ id, isWiped, isRetired }) => {
      return (isWiped || isRetired) && (voters.includes(id) || learners.includes(id));
    });
    const autoLeave = random.below(3) > 0;
    if (lost !== undefined) {
      const remove = step('remove', lost.peer);
      if (voters.length < 2) return undefined;
      const steps = random.below(2) === 0 ? [remove] : [remove, step('addVoter')];
      return { steps, autoLeave };
    }
    const missing = world.profile.members - voters.length;
    if (missing <= 0) return undefined;
    const learner = cluster.members.find(({ id }) => learners.includes(id));
    if (learner !== undefined) return { steps: [step('addVoter', learner.peer)], autoLeave };
    if (random.below(2) === 0) return { steps: [step('addLearner')], autoLeave };
    const count = random.below(2) === 0 ? missing : 1;
    return { steps: Array.from({ length: count }, () => step('addVoter')), autoLeave };
  }

  /** What nobody needs. */
  #whim(leader: Member): Draft | undefined {
    const { random, cluster } = this.#parts;
    if (!this.#isChurning || !this.#wishes.churn) return undefined;
    const configuration = leader.node?.membership.configuration;
    if (configuration === undefined || isJoint(configuration)) return undefined;
    const voters = cluster.members.filter(({ id }) => configuration.voters.includes(id));
    const victim = voters[random.below(Math.max(1, voters.length))]?.peer;
    const second = voters[random.below(Math.max(1, voters.length))]?.peer;
    const autoLeave = random.below(3) > 0;
    const which = random.below(7);
    // While a disk is lost, repair comes first: whoever is moved now may be the one that it takes.
    const areWhole = voters.every(({ hasLostDisk }) => !hasLostDisk);
    if (voters.length < 3 || cluster.members.length > 14 || !areWhole) return undefined;
    this.#wishes.churn = false;
    const swap = [step('remove', victim), step('addVoter')];
    const swapTwo = [...swap, step('remove', second), step('addVoter')];
    const whims: readonly (readonly DraftStep[])[] = [
      [step('remove', victim)],
      [step('addLearner', victim)],
      [step('addVoter')],
      swap,
      second === victim ? swap : swapTwo,
      [step('addLearner', victim), step('addVoter')],
      [step('addLearner'), step('addLearner')],
    ];
    return { steps: whims[which] as readonly DraftStep[], autoLeave };
  }

  /** A member that is not part of the cluster yet: one that waits, or a new one. */
  async #fresh(leader: Member, named: readonly Peer[]): Promise<Peer> {
    const { cluster } = this.#parts;
    const { members: present = [], removed = [] } = leader.node?.membership ?? {};
    const taken = new Set([...present, ...named].map(({ name }) => name));
    const waiting = cluster.members.find(({ id, isWiped, isRetired, hardware }) => {
      return !(isWiped || isRetired || removed.includes(id) || taken.has(hardware.name));
    });
    return (waiting ?? (await cluster.grow())).peer;
  }
}

interface DraftStep {
  readonly what: MembershipStep['step'];
  /** Undefined: a member that is none yet. */
  readonly who: Peer | undefined;
}

interface Draft {
  readonly steps: readonly DraftStep[];
  readonly autoLeave: boolean;
}

function step(what: MembershipStep['step'], who?: Peer): DraftStep {
  return { what, who };
}

/** These, and no others. */
function hasVoters(configuration: Configuration, voters: readonly number[]): boolean {
  const known = configuration.voters;
  const isSame = known.length === voters.length && known.every((id) => voters.includes(id));
  return isSame && !isJoint(configuration);
}
