// Whoever runs the cluster: founds it, replaces members whose disk is gone, and changes it for no reason. It knows what
// an operator may know: the members as of the leader's state. It never has two lost disks at a time.

import type { Random } from '@etl-router/core';
import { isJoint } from '../src/raft/configuration.ts';
import type { MembershipChange, MembershipStep } from '../src/raft/membership.ts';
import { type Member, peerOf, type World } from './member.ts';

export interface OperatorParts {
  readonly world: World;
  readonly random: Random;
  readonly members: () => readonly Member[];
  readonly create: (id: number) => Member;
}

export class Operator {
  readonly #parts: OperatorParts;
  #isChurning = false;
  #churnDueMs = 0;
  #transferDueMs = 0;
  #isChanging = false;
  #lastId: number;
  /** The cluster had all its members once. */
  isFounded = false;

  constructor(parts: OperatorParts) {
    this.#parts = parts;
    this.#lastId = parts.world.founders.length;
  }

  start(): void {
    const { kernel } = this.#parts.world;
    this.#isChurning = true;
    this.#drawDues();
    const turn = (): void => {
      kernel.after(100 + this.#parts.random.below(200), undefined, turn);
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

  /** The leader, as far as there is one. */
  get leader(): Member | undefined {
    return this.#parts
      .members()
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
    const { members, world } = this.#parts;
    const { voters } = configuration;
    if (isJoint(configuration) || !voters.includes(victim.id) || voters.length < 3) return false;
    const others = members().filter(({ id }) => voters.includes(id) && id !== victim.id);
    const areFine = others.every(({ isUp, isWiped, rots, hasUncommittedChange }) => {
      return isUp && !isWiped && !rots && !hasUncommittedChange;
    });
    return areFine && !victim.hasUncommittedChange && world.network.isWhole;
  }

  async #act(): Promise<void> {
    const { world, random, members } = this.#parts;
    const { leader } = this;
    if (leader?.node === undefined) return;
    const { membership } = leader.node;
    for (const member of members()) {
      if (membership.removed.includes(member.id) && !member.isRetired && random.below(10) === 0) {
        member.kill('power');
        member.isRetired = true;
      }
    }
    const { voters } = membership.configuration;
    this.isFounded ||= voters.length >= world.profile.members;
    const change = this.#plan(leader) ?? this.#whim(leader);
    const patience = new AbortController();
    const cancel = world.kernel.after(1000 + random.below(5000), undefined, () => patience.abort());
    const { signal } = patience;
    try {
      if (change !== undefined) {
        world.trace.note('members', leader.id, ...change.steps.map(({ id }) => id));
        await leader.whileUp(leader.node.changeMembers(change, { signal }));
        world.coverage.changes++;
      } else if (this.#isChurning && world.kernel.nowMs >= this.#transferDueMs) {
        this.#drawDues();
        const to = voters[random.below(voters.length)] as number;
        world.trace.note('transfer', leader.id, to);
        await leader.whileUp(leader.node.transferTo(to, signal));
        world.coverage.transfers++;
      }
    } catch {
      // It looks again in a moment.
    } finally {
      cancel();
    }
  }

  /** What the cluster needs. */
  #plan(leader: Member): MembershipChange | undefined {
    const { world, random, members } = this.#parts;
    const configuration = leader.node?.membership.configuration;
    if (configuration === undefined) return undefined;
    if (isJoint(configuration))
      return configuration.autoLeave ? undefined : { steps: [], autoLeave: false };
    const { voters, learners } = configuration;
    const lost = members().find(({ id, isWiped, isRetired }) => {
      return (isWiped || isRetired) && (voters.includes(id) || learners.includes(id));
    });
    const autoLeave = random.below(3) > 0;
    if (lost !== undefined) {
      const remove = step('remove', lost.id);
      if (voters.length < 2) return undefined;
      return random.below(2) === 0
        ? { steps: [remove], autoLeave }
        : { steps: [remove, step('addVoter', this.#fresh(leader))], autoLeave };
    }
    const missing = world.profile.members - voters.length;
    if (missing <= 0) return undefined;
    const [learner] = learners;
    if (learner !== undefined) return { steps: [step('addVoter', learner)], autoLeave };
    if (random.below(2) === 0)
      return { steps: [step('addLearner', this.#fresh(leader))], autoLeave };
    const count = random.below(2) === 0 ? missing : 1;
    const ids: number[] = [];
    while (ids.length < count) ids.push(this.#fresh(leader, ...ids));
    return { steps: ids.map((id) => step('addVoter', id)), autoLeave };
  }

  /** What nobody needs. */
  #whim(leader: Member): MembershipChange | undefined {
    const { world, random, members } = this.#parts;
    if (!this.#isChurning || world.kernel.nowMs < this.#churnDueMs) return undefined;
    this.#drawDues();
    const configuration = leader.node?.membership.configuration;
    if (configuration === undefined || isJoint(configuration)) return undefined;
    const { voters } = configuration;
    if (voters.length < 3 || members().length > 14) return undefined;
    const victim = voters[random.below(voters.length)] as number;
    const second = voters[random.below(voters.length)] as number;
    const autoLeave = random.below(3) > 0;
    const fresh = this.#fresh(leader);
    const swap = [step('remove', victim), step('addVoter', fresh)];
    const other = this.#fresh(leader, fresh);
    const swapTwo = [...swap, step('remove', second), step('addVoter', other)];
    const whims: readonly (readonly MembershipStep[])[] = [
      [step('remove', victim)],
      [step('addLearner', victim)],
      [step('addVoter', fresh)],
      swap,
      second === victim ? swap : swapTwo,
      [step('addLearner', victim), step('addVoter', fresh)],
      [step('addLearner', fresh), step('addLearner', other)],
    ];
    return { steps: whims[random.below(whims.length)] as readonly MembershipStep[], autoLeave };
  }

  /** A member that is not part of the cluster yet: one that waits, or a new one. */
  #fresh(leader: Member, ...named: readonly number[]): number {
    const { create, members } = this.#parts;
    const { members: present = [], removed = [] } = leader.node?.membership ?? {};
    const isFree = ({ id, isWiped, isRetired }: Member): boolean =>
      !(isWiped || isRetired || removed.includes(id) || named.includes(id)) &&
      present.every((member) => member.id !== id);
    const waiting = members().find(isFree);
    if (waiting !== undefined) return waiting.id;
    this.#lastId++;
    create(this.#lastId).start();
    return this.#lastId;
  }

  #drawDues(): void {
    const { world, random } = this.#parts;
    const { churnS, transferS } = world.profile;
    const wait = (meanS: number): number => -Math.log(1 - random.next()) * meanS * 1000;
    this.#churnDueMs = Math.max(this.#churnDueMs, world.kernel.nowMs + wait(churnS));
    this.#transferDueMs = Math.max(this.#transferDueMs, world.kernel.nowMs + wait(transferS));
  }
}

function step(what: MembershipStep['step'], id: number): MembershipStep {
  return { step: what, ...peerOf(id) };
}
