// Drives the core of one member: log, network and state on one side, callers on the other. It keeps the order that
// docs/specs/0007-raft.md demands; nothing here decides anything about consensus. Everything between two awaits of the
// callers happens in turns: inputs are collected, then the core's effects are carried out until there are none.

import { assert, type Cancel, EtlError, isEtlError, toEtlError } from '@etl-router/core';
import { closedError, untilAborted } from '../consensus/aborted.ts';
import type {
  CommittedEntry,
  Consensus,
  ConsensusStatus,
  ProposalOptions,
  Proposed,
  ReplicatedState,
} from '../consensus/consensus.ts';
import { LogQuota } from '../consensus/log-quota.ts';
import { type Outcome, outcomeOf, withOutcome } from '../consensus/outcome.ts';
import { PendingProposals } from '../consensus/pending-proposals.ts';
import type { Entry } from '../storage/log-types.ts';
import { Applier } from './applier.ts';
import { isJoint } from './configuration.ts';
import type { Ready, SnapshotWish } from './core-state.ts';
import { DurableQueue } from './durable-queue.ts';
import { Forwarding } from './forwarding.ts';
import { writeFounders } from './founding.ts';
import { Leadership } from './leadership.ts';
import {
  changeMembership,
  decodeMembership,
  decodeMembershipChange,
  encodeMembership,
  encodeMembershipChange,
  type Membership,
  type MembershipChange,
  noMembership,
} from './membership.ts';
import type { Message } from './messages.ts';
import {
  checkApplied,
  checkCommand,
  checkServing,
  type DriverState,
  extentOf,
  roleOf,
} from './node-checks.ts';
import type { RaftNodeOptions } from './node-options.ts';
import { Pacing } from './pacing.ts';
import { type MemberProgress, Raft } from './raft.ts';
import { ReadWaiters } from './read-waiters.ts';
import { Snapshots } from './snapshots.ts';
import type { RaftReceiver } from './transport.ts';

export type { RaftNodeOptions } from './node-options.ts';

/** Ticks of one heartbeat: elections are timed twice as finely. */
const ticksPerHeartbeat = 2;
/** How long a read waits for a quorum, and a command for a leader that takes it, in elections. */
const readElections = 5;
const waitElections = 3;
/** Neither waits longer: what there is to say is said within 5 s. */
const waitMaxMs = 4500;

export class RaftNode implements Consensus {
  readonly failed: Promise<EtlError>;
  readonly receiver: RaftReceiver;
  readonly #options: RaftNodeOptions;
  readonly #log: RaftNodeOptions['log'];
  readonly #tickMs: number;
  readonly #electionTicks: number;
  readonly #pending: PendingProposals;
  readonly #reads: ReadWaiters;
  readonly #quota: LogQuota;
  readonly #durable = new DurableQueue();
  readonly #failWith: (error: EtlError) => void;
  readonly #leadership = new Leadership();
  readonly #pacing: Pacing;
  readonly #forwarding: Forwarding;
  #raft: Raft | undefined;
  #applier: Applier | undefined;
  #snapshots: Snapshots | undefined;
  #membership: Membership = noMembership;
  #isTurnDue = false;
  #isInTurn = false;
  #cancelTick: Cancel | undefined;
  #tickDueMs = 0;
  #failure: EtlError | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: RaftNodeOptions) {
    const { log, clock, heartbeatMs = 100, electionMs = 1000 } = options;
    const failed = Promise.withResolvers<EtlError>();
    this.failed = failed.promise;
    this.#failWith = failed.resolve;
    this.#options = options;
    this.#log = log;
    this.#tickMs = heartbeatMs / ticksPerHeartbeat;
    this.#electionTicks = Math.ceil(electionMs / this.#tickMs);
    const bounds = options.proposals ?? { maxCount: 4096, maxBytes: 64 * 1024 * 1024 };
    const maxTicksAway = this.#electionTicks * readElections;
    this.#pending = new PendingProposals(bounds, maxTicksAway);
    this.#reads = new ReadWaiters({
      namesAfter: options.random.below(2 ** 20) * 2 ** 32,
      retryTicks: ticksPerHeartbeat * 2,
      timeoutTicks: Math.min(maxTicksAway, Math.ceil(waitMaxMs / this.#tickMs)),
    });
    this.#quota = new LogQuota(log, options.logQuotaBytes);
    const tell = (): void => this.#input((raft) => raft.tellCommit());
    this.#pacing = new Pacing({ clock, onHoldOver: () => this.#schedule(), onTellDue: tell });
    this.#forwarding = new Forwarding({
      self: options.nodeId,
      forwarder: options.forwarder,
      restamp: options.restamp,
      here: (command, how) => this.#proposeHere(command, how),
      applied: (index, signal) => (this.#applier as Applier).until(index, signal),
      clock,
      onAnswered: tell,
      waitMs: Math.min(waitMaxMs, electionMs * waitElections),
      bounds,
    });
    this.receiver = {
      propose: (command, how) => this.#forwarding.receive(command, how),
      receive: (message) => {
        if (this.#snapshots?.takes(message) === true) this.#input((raft) => raft.step(message));
      },
      unreachable: (id) => this.#input((raft) => raft.reportUnreachable(id)),
      snapshotSent: (id, arrived) => this.#input((raft) => raft.reportSnapshot(id, arrived)),
    };
  }

  /** Replays what `state` has not applied, and takes part. A cluster of one leads when this resolves. */
  async start(state: ReplicatedState): Promise<void> {
    assert(this.#raft === undefined, 'start is called once');
    checkApplied(this.#log, state);
    const { nodeId, random } = this.#options;
    await writeFounders(this.#log, this.#options.founders);
    if (state.membership !== undefined) this.#membership = decodeMembership(state.membership);
    const { configuration } = this.#membership;
    this.#raft = new Raft({
      id: nodeId,
      log: this.#log,
      configuration,
      applied: state.applied.index,
      electionTicks: this.#electionTicks,
      heartbeatTicks: ticksPerHeartbeat,
      tellsCommitsLater: true,
      random: () => random.next(),
    });
    this.#applier = new Applier({
      state,
      applied: state.applied.index,
      ...{ clock: this.#options.clock, log: this.#log },
      through: () => this.#committedHere,
      isUnhurried: () => this.#raft?.role !== 'leader' && this.#pending.count === 0,
      onApplied: (entries, results) => this.#onApplied(entries, results),
      onInstalled: (index) => this.#onInstalled(index),
      prepare: (entry) => this.#prepare(entry),
      onError: (error) => this.#fail(error),
    });
    this.#snapshots = new Snapshots({
      rules: this.#options,
      log: this.#log,
      quota: this.#quota,
      state,
      isAlone: () => this.#membership.members.length <= 1,
      onError: (error) => this.#fail(error),
    });
    this.#announcePeers();
    this.#scheduleTick();
    this.#turn();
    // What is known to be committed may say who belongs to the cluster.
    await this.#applier.until(this.#raft.commitIndex, undefined);
    const { voters, outgoing } = this.#membership.configuration;
    if (outgoing.length > 0 || voters.length !== 1 || voters[0] !== nodeId) return;
    this.#input((raft) => raft.campaign());
    await this.#applier.until(this.#log.lastIndex + 1, undefined);
    this.#turn();
  }

  propose(command: Uint8Array, options: ProposalOptions = {}): Promise<Proposed> {
    return this.#forwarding.propose(command, options);
  }

  /** Into the own log, where this member leads. */
  async #proposeHere(command: Uint8Array, options: ProposalOptions): Promise<Proposed> {
    const { signal, frees = false } = options;
    let outcome: Outcome = 'refused';
    try {
      this.#serving(signal).checkProposing();
      checkCommand(command);
      const refusal =
        this.#pending.refusal(command.length) ?? this.#quota.refusal(frees, this.#pending.bytes);
      if (refusal !== undefined) {
        this.#snapshots?.makeWhenDue();
        throw refusal;
      }
      outcome = 'unknown';
      const answer = this.#pending.add(command, signal);
      this.#schedule();
      return await answer;
    } catch (error) {
      throw isEtlError(error) && outcomeOf(error) !== undefined
        ? error
        : withOutcome(error, outcome);
    }
  }

  async readIndex({ signal }: ProposalOptions = {}): Promise<number> {
    this.#serving(signal);
    const index = await untilAborted(this.#reads.wait(), signal, () => this.#schedule());
    await (this.#applier as Applier).until(index, signal);
    return index;
  }

  async changeMembers(change: MembershipChange, how: ProposalOptions = {}): Promise<Membership> {
    const raft = this.#serving(how.signal);
    changeMembership(this.#membership, change);
    const { index, term } = raft.proposeConfiguration(change, encodeMembershipChange(change));
    this.#turn();
    const applier = this.#applier as Applier;
    await applier.until(index, how.signal);
    if (this.#log.term(index) !== term && this.#log.term(index) !== undefined) {
      throw new EtlError('ETL_UNAVAILABLE', 'leadership changed; the members did not', {
        retryable: true,
      });
    }
    while (change.autoLeave && isJoint(this.#membership.configuration))
      await applier.until(applier.applied + 1, how.signal);
    return this.#membership;
  }

  async transferTo(id: number, signal?: AbortSignal): Promise<void> {
    this.#serving(signal).transferTo(id);
    await untilAborted(this.#leadership.handedTo(id), signal, () => this.#schedule());
  }

  /** Whether it leads, and everything committed before is applied here. */
  get leads(): boolean {
    return this.#leadership.leads;
  }

  watchLeadership(listener: (leads: boolean) => void): () => void {
    return this.#leadership.watch(listener);
  }

  get membership(): Membership {
    return this.#membership;
  }

  get progress(): readonly MemberProgress[] {
    return this.#raft?.status().progress ?? [];
  }

  status(): ConsensusStatus {
    const { clusterId, nodeId } = this.#options;
    const raft = this.#raft;
    const leader = raft?.leader ?? 0;
    return {
      clusterId,
      nodeId,
      role: roleOf(this.#state),
      term: raft?.term ?? this.#log.hardState.term,
      leaderId: leader === 0 ? undefined : leader,
      commitIndex: raft?.commitIndex ?? this.#log.hardState.commit,
      lastApplied: this.#applier?.applied ?? 0,
      ...extentOf(this.#log),
      logQuotaBytes: this.#quota.maxBytes,
      contacts: this.#options.transport.contacts,
      pendingProposals: this.#pending.count,
      failure: this.#failure,
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#cancelTick?.();
    this.#pacing.end();
    this.#forwarding.end(closedError());
    if (this.#raft !== undefined && this.#failure === undefined) await this.#drain();
    this.#reads.rejectAll(closedError());
    this.#leadership.rejectAll(closedError());
    await this.#options.transport.close();
    await this.#applier?.close();
    await this.#snapshots?.settled();
    this.#pending.rejectAll(closedError());
    await this.#log.close();
  }

  /** What is in the log and can be committed without anyone else is applied and answered. */
  async #drain(): Promise<void> {
    do {
      this.#turn();
      await new Promise<void>((resolve) => this.#log.append({}, () => resolve()));
    } while (this.#failure === undefined && this.#pending.hasQueued);
    this.#turn();
    if (this.#failure === undefined) await this.#applier?.until(this.#committedHere, undefined);
  }

  get #state(): DriverState {
    return { failure: this.#failure, isClosing: this.#closing !== undefined, raft: this.#raft };
  }

  #serving(signal: AbortSignal | undefined): Raft {
    return checkServing(this.#state, signal);
  }

  // Turns

  #input(act: (raft: Raft) => void): void {
    if (this.#raft === undefined || this.#failure !== undefined || this.#closing !== undefined)
      return;
    try {
      act(this.#raft);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#schedule();
  }

  /** All inputs of this turn of the event loop share one turn here, so that they share a write and a message. */
  #schedule(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    queueMicrotask(() => {
      this.#isTurnDue = false;
      this.#turn();
    });
  }

  #turn(): void {
    const raft = this.#raft;
    if (raft === undefined || this.#failure !== undefined || this.#isInTurn) return;
    this.#isInTurn = true;
    try {
      this.#keepPromises(raft);
      this.#proposeQueued(raft);
      if (this.#reads.hasNew) this.#reads.ask((context) => raft.readIndex(context));
      while (raft.hasReady) this.#carryOut(raft.ready(), raft);
      this.#leadership.note(raft, {
        lastIndex: this.#log.lastIndex,
        applied: this.#applier?.applied ?? 0,
      });
      this.#forwarding.note(raft.leader);
      this.#applier?.wake();
      this.#pacing.note(raft);
    } catch (error) {
      this.#fail(error);
    }
    this.#isInTurn = false;
  }

  /** What comes while the log writes or a batch is under way shares the next write and the messages about it. */
  #proposeQueued(raft: Raft): void {
    if (!this.#pending.hasQueued || this.#durable.isWriting) return;
    if (this.#closing === undefined && this.#pacing.holdsBack(raft)) return;
    const queued = this.#pending.takeQueued();
    if (queued.length === 0) return;
    try {
      const { index, term } = raft.propose(queued.map(({ command }) => command));
      this.#pacing.sent(index + queued.length - 1);
      for (const [at, proposal] of queued.entries())
        this.#pending.place(proposal, { index: index + at, term });
    } catch (error) {
      for (const { reject } of queued) reject(withOutcome(error, 'refused'));
    }
  }

  #carryOut(ready: Ready, raft: Raft): void {
    const { record, messages, afterDurable, snapshots, reads, alarms } = ready;
    if (record !== undefined) {
      const number = this.#durable.begin(record.entries?.[0]?.index);
      if (record.snapshot !== undefined) this.#applier?.install(record.snapshot);
      this.#log.append(record, (error) => {
        if (error !== undefined) return this.#fail(error);
        this.#durable.end(number);
        this.#schedule();
      });
    }
    if (messages.length > 0) this.#options.transport.send(messages);
    this.#durable.hold(afterDurable);
    this.#keepPromises(raft);
    for (const wish of snapshots) void this.#ship(wish);
    for (const { context, index } of reads) this.#reads.answer(context, index);
    for (const alarm of alarms) this.#options.logger.error({ err: alarm }, 'refused by consensus');
  }

  /** Tells what is durable now: to others over the network, to the own core at once. */
  #keepPromises(raft: Raft): void {
    const kept = this.#durable.take();
    if (kept.length === 0 || this.#failure !== undefined) return;
    const others: Message[] = [];
    for (const message of kept) {
      if (message.to === this.#options.nodeId) raft.step(message);
      else others.push(message);
    }
    if (others.length > 0) this.#options.transport.send(others);
  }

  #scheduleTick(): void {
    const { clock } = this.#options;
    this.#tickDueMs = clock.monotonicMs() + this.#tickMs;
    this.#cancelTick = clock.after(this.#tickMs, () => {
      const lateMs = clock.monotonicMs() - this.#tickDueMs;
      // After a stall timers run before sockets are read: what a leader sent meanwhile is heard first.
      if (lateMs > this.#tickMs) this.#cancelTick = clock.after(0, () => this.#tick());
      else this.#tick();
    });
  }

  #tick(): void {
    if (this.#closing !== undefined || this.#failure !== undefined) return;
    this.#input((raft) => raft.tick());
    this.#pending.tick(this.#raft?.role === 'leader');
    if (this.#reads.tick()) this.#schedule();
    this.#scheduleTick();
  }

  // Applying

  /** The last entry that is committed and durable here. */
  get #committedHere(): number {
    return Math.min(this.#raft?.commitIndex ?? 0, this.#durable.firstUnwritten - 1);
  }

  /** A change of members takes effect when it is applied; the state stores who belongs to the cluster then. */
  #prepare({ type, index, term, data }: Entry): CommittedEntry {
    if (type === 'normal') return { index, term, data };
    const raft = this.#raft as Raft;
    const change = decodeMembershipChange(data);
    try {
      this.#membership = changeMembership(this.#membership, change);
    } catch (error) {
      // It does not fit what was applied before; so it is with every member, and none changes.
      if (isEtlError(error)) return { index, term, data: noData };
      throw error;
    }
    raft.applyConfiguration(change);
    this.#announcePeers();
    return { index, term, data: noData, membership: encodeMembership(this.#membership) };
  }

  #onApplied(entries: readonly CommittedEntry[], results: readonly Uint8Array[]): void {
    assert(results.length === entries.length, 'the state answers every entry');
    for (const [at, { index, term }] of entries.entries())
      this.#pending.answer({ index, term, result: results[at] as Uint8Array });
    const last = entries.at(-1);
    if (last !== undefined) this.#input((raft) => raft.appliedTo(last.index));
    if (this.#closing === undefined) this.#snapshots?.makeWhenDue();
  }

  #onInstalled(index: number): void {
    this.#pending.forgetTo(index);
    const state = (this.#applier as Applier).state;
    if (state.membership !== undefined) this.#membership = decodeMembership(state.membership);
    this.#announcePeers();
    this.#schedule();
  }

  #announcePeers(): void {
    const { transport, nodeId } = this.#options;
    transport.setPeers(this.#membership.members.filter(({ id }) => id !== nodeId));
  }

  // Snapshots

  async #ship(wish: SnapshotWish): Promise<void> {
    try {
      const state = (this.#applier as Applier).state;
      const { configuration } = decodeMembership(await state.membershipAt(wish.snapshot));
      this.#options.transport.sendSnapshot({ ...wish, configuration });
    } catch (error) {
      // A newer snapshot may have taken its place; the next heartbeat asks again.
      this.#options.logger.warn({ err: toEtlError(error), to: wish.to }, 'snapshot not sent');
      this.receiver.snapshotSent(wish.to, false);
    }
  }

  /** Ends it for good. Nothing is promised any more. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    const failure = toEtlError(error);
    this.#failure = failure;
    this.#cancelTick?.();
    this.#pacing.end();
    this.#forwarding.end(failure);
    this.#pending.rejectAll(failure);
    this.#reads.rejectAll(failure);
    this.#applier?.fail(failure);
    this.#leadership.fail(failure);
    if (this.#closing === undefined) this.#failWith(failure);
  }
}

const noData: Uint8Array = new Uint8Array(0);
