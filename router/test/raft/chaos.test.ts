// Random runs of a cluster: messages are lost, doubled and overtake each other, members crash and come back, disks are
// slow, members and leaders change. The network checks after every step what no run may break; here are the two
// promises to clients, reads that see every write answered before, and an end to it all once the faults end.
// RAFT_SEED and RAFT_RUNS look at one seed, or at many.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError, type Random, seededRandom } from '@etl-router/core';
import { configurationOf, type MemberStep, membersOf } from '../../src/raft/configuration.ts';
import { encodeChange, Member } from './member.ts';
import { Network } from './network.ts';

class Run {
  readonly #random: Random;
  readonly #network: Network;
  readonly #ids = [1, 2, 3, 4, 5];
  /** Of each read: what was committed anywhere when it was asked. */
  readonly #reads = new Map<number, number>();
  readonly #answered = new Set<number>();
  #committed = 0;
  #written = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const founders = configurationOf(...this.#ids.slice(0, 1 + this.#random.below(4)));
    const inflight = { maxMessages: 3, maxBytes: 200 };
    const random = (): number => this.#random.next();
    this.#network = new Network(
      this.#ids.map((id) => new Member(id, founders, { inflight, maxAppendBytes: 40, random })),
    );
  }

  steps(count: number): void {
    for (let at = 0; at < count; at++) {
      this.#step();
      this.#network.drain();
      this.#checkReads();
    }
  }

  #step(): void {
    const network = this.#network;
    const member = network.member(this.#pick(this.#ids));
    const dice = this.#random.below(1000);
    if (dice < 600) this.#deliverSome();
    else if (dice < 630) network.drop(() => this.#random.below(3) === 0);
    else if (dice < 650) network.queue.push(...network.queue.slice(0, 1));
    else if (dice < 780) this.#tickAll();
    else if (dice < 790) member.isDiskHeld = !member.isDiskHeld;
    else if (dice < 795) member.isApplyHeld = !member.isApplyHeld;
    else if (dice < 800) network.isolate(member.id);
    else if (dice < 820) network.heal();
    else if (dice < 824) member.crash();
    else if (dice < 840) this.#wake(member);
    else this.#ask(this.#asked(member), dice);
  }

  #wake(member: Member): void {
    if (member.isDown) member.restart();
    member.isDiskHeld = false;
    member.isApplyHeld = false;
  }

  /** Mostly one that leads. */
  #asked(member: Member): Member {
    const leaders = [...this.#network.members.values()].filter(
      ({ raft, isDown }) => !isDown && raft.role === 'leader',
    );
    return leaders.length > 0 && this.#random.below(4) > 0 ? this.#pick(leaders) : member;
  }

  #ask(member: Member, dice: number): void {
    const { raft, log } = member;
    if (member.isDown) return;
    try {
      if (dice < 920) raft.propose([Buffer.from(String(++this.#written))]);
      else if (dice < 960) this.#read(member);
      else if (dice < 970) this.#changeMembers(member);
      else if (dice < 980) raft.transferTo(this.#pick(this.#ids));
      else if (dice < 985) raft.forgetLeader();
      else if (dice < 990) raft.reportUnreachable(this.#pick(this.#ids));
      else if (raft.status().applied > log.snapshot.index && !member.isDiskHeld)
        member.snapshot(raft.status().applied - this.#random.below(2));
    } catch (error) {
      if (!(error instanceof EtlError)) throw error;
    }
  }

  #read(member: Member): void {
    const context = this.#reads.size + 1;
    this.#reads.set(context, this.#committed);
    member.raft.readIndex(context);
  }

  #changeMembers({ raft }: Member): void {
    const kinds: readonly MemberStep['step'][] = ['addVoter', 'addVoter', 'addLearner', 'remove'];
    const ids = new Set([this.#pick(this.#ids), this.#pick(this.#ids)]);
    const isLeaving = raft.status().configuration.outgoing.length > 0;
    const steps = isLeaving ? [] : [...ids].map((id) => ({ step: this.#pick(kinds), id }));
    const change = { steps, autoLeave: this.#random.below(4) > 0 };
    raft.proposeConfiguration(change, encodeChange(change));
  }

  #deliverSome(): void {
    const { queue } = this.#network;
    for (let count = this.#random.below(8); count >= 0 && queue.length > 0; count--) {
      // Mostly in order, sometimes not.
      const message = queue[this.#random.below(5) === 0 ? this.#random.below(queue.length) : 0];
      this.#network.deliver((each) => each === message);
    }
  }

  #tickAll(): void {
    for (const { raft, isDown } of this.#network.members.values()) {
      if (!isDown && this.#random.below(10) > 0) raft.tick();
    }
  }

  #checkReads(): void {
    for (const member of this.#network.members.values()) {
      if (!member.isDown) this.#committed = Math.max(this.#committed, member.raft.commitIndex);
      for (const { context, index } of member.reads.splice(0)) {
        const committedBefore = this.#reads.get(context) as number;
        if (index === 0) continue;
        this.#answered.add(context);
        equal(index >= committedBefore, true, `read ${context} at ${index}, ${committedBefore}`);
      }
    }
  }

  /** The faults end: a leader is found, and all of the cluster's members hold and apply the same. */
  end(): void {
    const network = this.#network;
    network.heal();
    for (const member of network.members.values()) {
      if (member.isDown) member.restart();
      member.isDiskHeld = false;
      member.isApplyHeld = false;
    }
    network.tick(150);
    const all = [...network.members.values()];
    const leader = all
      .filter(({ raft }) => raft.role === 'leader')
      .toSorted((a, b) => b.raft.status().term - a.raft.status().term)[0] as Member;
    equal(leader === undefined, false, 'there is a leader');
    const end = leader.raft.propose([Buffer.from('end')]);
    network.tick(20);
    const { configuration, commitIndex } = leader.raft.status();
    equal(commitIndex >= end.index, true, 'the leader commits');
    equal(configuration.outgoing.length > 0 && configuration.autoLeave, false, 'it left the joint');
    for (const id of membersOf(configuration)) {
      deepEqual(network.member(id).applied, leader.applied, `member ${id} applied the same`);
      deepEqual(network.member(id).raft.status().configuration, configuration);
    }
    this.#checkReads();
  }

  #pick<Value>(values: readonly Value[]): Value {
    return values[this.#random.below(values.length)] as Value;
  }

  get summary(): {
    readonly written: number;
    readonly answered: number;
    readonly committed: number;
  } {
    return { written: this.#written, answered: this.#answered.size, committed: this.#committed };
  }
}

test('whatever fails, nothing committed is lost, reads see every write before them, and it ends well', () => {
  const first = Number(process.env['RAFT_SEED'] ?? 1);
  const count = Number(process.env['RAFT_RUNS'] ?? 20);
  let [answered, committed] = [0, 0];
  for (let seed = first; seed < first + count; seed++) {
    const run = new Run(seed);
    try {
      run.steps(600);
      run.end();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    answered += run.summary.answered;
    committed += run.summary.committed;
  }
  equal(
    answered > count && committed > 10 * count,
    true,
    `${answered} reads, ${committed} entries`,
  );
});
