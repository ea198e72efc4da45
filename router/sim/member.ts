// One member: the production driver, log, replica and snapshots on a disk, clock and network that are not real. It can
// be killed at any moment and started again; what the oracles may ask of it is compared after every event.

import { type Clock, type Logger, type Random, silentLogger } from '@etl-router/core';
import { MemoryStore } from '../src/applied/memory-store.ts';
import { Replica } from '../src/applied/replica.ts';
import type { Proposed, ReplicatedState } from '../src/consensus/consensus.ts';
import { decodeMembershipChange } from '../src/raft/membership.ts';
import type { Message } from '../src/raft/messages.ts';
import { RaftNode } from '../src/raft/node.ts';
import type { Peer, RaftReceiver, SnapshotShipment } from '../src/raft/transport.ts';
import { readWhole } from '../src/storage/disk.ts';
import { Log } from '../src/storage/log.ts';
import type { Entry, HardState, LogRecord } from '../src/storage/log-types.ts';
import { type DiskFault, type DiskOperation, MemoryDisk } from '../src/storage/memory-disk.ts';
import { snapshotName } from '../src/storage/snapshot-file.ts';
import type { Coverage } from './coverage.ts';
import { type Kernel, Process } from './kernel.ts';
import { Registers } from './machine.ts';
import type { Network, Station } from './network.ts';
import { maxProposals, Observer } from './observer.ts';
import type { Profile } from './profile.ts';
import { Promises } from './promises.ts';
import type { Trace } from './trace.ts';
import type { Truth } from './truth.ts';
import { check, Violation } from './violation.ts';
import { WatchedLog } from './watched-log.ts';

/** What all members of a run share. */
export interface World {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly profile: Profile;
  readonly truth: Truth;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly member: (id: number) => Member | undefined;
  /** Who the cluster begins with; the first of them writes it down. */
  readonly founders: readonly number[];
  /** The run is over: this must not have happened. */
  readonly violated: (error: Violation) => void;
}

/** A process that is up. */
interface Running {
  readonly process: Process;
  readonly log: WatchedLog;
  readonly node: RaftNode;
  readonly machine: Registers;
  readonly state: ReplicatedState;
  readonly observer: Observer;
}

const clusterId = 'simulated';
const logDirectory = 'member/log';
const snapshotDirectory = 'member/snapshots';

export class Member implements Station {
  readonly id: number;
  /** Its disk is gone for good. */
  isWiped = false;
  /** Nobody starts it again. */
  isRetired = false;
  /** Disk operations take until then, at least. */
  stalledUntilMs = 0;
  /** Whether its disk may fail. */
  diskFails = false;
  /** The next start finds its log damaged. */
  rots = false;
  #isRotten = false;
  readonly #world: World;
  readonly #random: Random;
  readonly #rate: number;
  readonly #skewMs: number;
  #disk: MemoryDisk;
  #isLogCreated = false;
  #isPowered = true;
  #process: Process | undefined;
  #running: Running | undefined;
  #ended = Promise.withResolvers<never>();
  readonly #takes = new Set<(taken: boolean) => void>();
  readonly #promises: Promises;
  #lastLog: WatchedLog | undefined;

  constructor(id: number, world: World, random: Random, clock: { rate: number; skewMs: number }) {
    this.id = id;
    this.#world = world;
    this.#random = random;
    this.#rate = clock.rate;
    this.#skewMs = clock.skewMs;
    this.#promises = new Promises({ directory: logDirectory, clusterId, logId: id });
    this.#disk = this.#newDisk();
  }

  get process(): Process | undefined {
    return this.#process;
  }

  get receiver(): RaftReceiver | undefined {
    return this.#running?.node.receiver;
  }

  get node(): RaftNode | undefined {
    return this.#running?.node;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  get isLeader(): boolean {
    return this.#running?.node.status().role === 'leader';
  }

  get disk(): MemoryDisk {
    return this.#disk;
  }

  /** The last entry it applied, and what it makes of it. */
  get digest(): string {
    const { state, machine } = this.#running ?? {};
    return `${state?.applied.index} ${state?.applied.term} ${machine?.hash}`;
  }

  /** For people. */
  get description(): string {
    const { node, log } = this.#running ?? {};
    const why = this.isWiped ? 'wiped' : this.isRetired ? 'retired' : 'down';
    if (node === undefined || log === undefined) return `member ${this.id}: ${why}`;
    const { role, term, leaderId, commitIndex, lastApplied, lastIndex } = node.status();
    const { voters, outgoing, learners } = node.membership.configuration;
    const list = [voters, outgoing, learners].map((ids) => ids.join(',')).join(' | ');
    const progress = node.progress.map(({ id, match, state }) => `${id}:${match} ${state}`);
    return `member ${this.id}: ${role} of term ${term}, leader ${leaderId}, commit ${commitIndex}, applied ${lastApplied}, log ${log.firstIndex}-${lastIndex}, members ${list}; ${progress.join(', ')}`;
  }

  /** Whether its log has that entry; of a member that is down nothing is known. */
  holds(index: number, term: number | undefined): boolean {
    const { log } = this.#running ?? {};
    return log === undefined || index <= log.compacted.index || log.term(index) === term;
  }

  /** Whether the entry was told to be durable there, by this process or the last one. */
  keeps({ index, term }: Entry): boolean {
    const log = this.#lastLog;
    if (log === undefined) return false;
    if (index <= log.compacted.index) return true;
    const { durable } = log;
    return log.term(index) === term && durable.index >= index && durable.term >= term;
  }

  get hasAppliedAll(): boolean {
    const { commitIndex, lastApplied, lastIndex } = this.#running?.node.status() ?? {};
    return lastApplied === commitIndex && lastApplied === lastIndex;
  }

  /** Its log may hold a change of members that not everyone knows. */
  get hasUncommittedChange(): boolean {
    const { log } = this.#running ?? {};
    return log === undefined || this.#world.truth.uncommittedChanges(log) > 0;
  }

  /** Starts a process; it serves some time later. */
  start(): void {
    const { kernel, trace } = this.#world;
    if (this.isUp || this.isRetired || this.isWiped) return;
    if (!this.#isPowered) this.#disk.restart();
    this.#isPowered = true;
    if (this.rots) this.#rot();
    const process = new Process(this.id);
    this.#process = process;
    this.#ended = Promise.withResolvers<never>();
    this.#ended.promise.catch(() => {});
    trace.note('start', this.id);
    const clock = kernel.clockOf(process, this.#rate, this.#skewMs);
    kernel.after(0, process, () => {
      this.#open(process, clock).catch((error: unknown) => {
        if (process.isAlive) this.#failed(error);
      });
    });
  }

  /** Ends the process. `power`: what its disk was not told to keep may be lost. */
  kill(how: 'power' | 'process'): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#world.trace.note(how, this.id);
    process.isAlive = false;
    this.#process = undefined;
    this.#running = undefined;
    if (how === 'power') {
      this.#disk.powerOff();
      this.#isPowered = false;
    } else this.#disk.killHolders();
    for (const done of [...this.#takes]) done(false);
    this.#takes.clear();
    this.#ended.reject(new Error('the member is gone'));
  }

  /** Loses everything. A member never comes back from that. */
  wipe(): void {
    this.kill('power');
    this.isWiped = true;
    this.#disk = this.#newDisk();
  }

  /** The value, unless the process ends first. */
  async whileUp<Value>(value: Promise<Value>): Promise<Value> {
    return await Promise.race([value, this.#ended.promise]);
  }

  propose(command: Uint8Array, signal: AbortSignal): Promise<Proposed> {
    const { node } = this.#running ?? {};
    if (node === undefined) return Promise.reject(new Error('the member is down'));
    return this.whileUp(node.propose(command, { signal }));
  }

  /** A linearizable read of a register, with the entry as of which it was read. */
  async read(key: number, signal: AbortSignal): Promise<{ value: number; index: number }> {
    const { node, machine, state } = this.#running ?? {};
    if (node === undefined || machine === undefined || state === undefined)
      throw new Error('the member is down');
    const granted = await this.whileUp(node.readIndex({ signal }));
    const { index } = state.applied;
    check(index >= granted, () => `member ${this.id} reads ${index} before ${granted} is applied`);
    return { value: machine.get(key), index };
  }

  takeSnapshot(shipment: SnapshotShipment, from: number, done: (taken: boolean) => void): void {
    const sender = this.#world.member(from);
    const process = this.#process;
    if (sender === undefined || !sender.isUp || process === undefined) return done(false);
    this.#takes.add(done);
    const end = (taken: boolean): void => {
      if (this.#takes.delete(done)) done(taken);
    };
    this.#copySnapshot(shipment, sender.disk).then(
      (isThere) => {
        if (!process.isAlive) return;
        end(isThere);
        if (!isThere) return;
        const { to, term, snapshot, configuration } = shipment;
        const { index, term: indexTerm } = snapshot;
        this.#world.trace.note('snapshot', from, to, index);
        this.receiver?.receive({
          type: 'installSnapshot',
          ...{ from, to, term, index, indexTerm, configuration },
        });
      },
      () => end(false),
    );
  }

  /** What leaves must be true: of the disk at this moment, and of the member it is for. */
  leaves(message: Message): void {
    const { from, to, term, type } = message;
    const running = this.#running;
    if (from !== this.id || running === undefined) return;
    const { log } = running;
    const { truth, member, kernel } = this.#world;
    if (type === 'timeoutNow') {
      const last = log.lastIndex;
      const isReady = member(to)?.holds(last, log.term(last)) ?? true;
      check(isReady, () => `member ${from} hands over to ${to}, which lacks entry ${last}`);
    }
    const promised = this.#promises.note(message, log);
    if (promised === 'vote') truth.voted(this.id, term, to);
    // Reading the disk takes a while: of entries some are looked at.
    if (promised === 'vote' || (promised === 'entry' && kernel.count % 16 === 0)) {
      this.#promises.checkDisk(message, log, this.#disk).catch((error: unknown) => {
        this.#violated(`member ${this.id} promised`, error);
      });
    }
  }

  /** Compares it with the truth. */
  inspect(): void {
    this.#running?.observer.inspect();
  }

  async #open(process: Process, clock: Clock): Promise<void> {
    const { kernel, profile, network, coverage, founders } = this.#world;
    const disk = this.#disk;
    const log = await Log.open({
      ...{ disk, clusterId, clock, directory: logDirectory, logId: this.id },
      segmentBytes: profile.segmentBytes,
      allocateBytes: 2048,
      create: !this.#isLogCreated,
    });
    if (this.#isLogCreated && log.tornBytes > 0) coverage.tornTails++;
    this.#isLogCreated = true;
    const watched = new WatchedLog(log, (record) => this.#onRecord(watched, record));
    this.#promises.checkRecovered(watched, (index) => watched.term(index));
    this.#world.truth.voted(this.id, watched.hardState.term, watched.hardState.vote);
    this.#lastLog = watched;
    const observer = new Observer(this.id, this.#world, watched);
    const machine = new Registers();
    const snapshots = { disk, directory: snapshotDirectory, clusterId };
    const store = new MemoryStore();
    const replica = await Replica.open({ store, machine, log: watched, snapshots });
    const node = new RaftNode({
      ...{ log: watched, clusterId, clock, logger: this.#logger(), nodeId: this.id },
      founders: this.id === 1 ? founders.map(peerOf) : [],
      transport: network.transportOf(process),
      random: this.#random,
      heartbeatMs: profile.heartbeatMs,
      electionMs: profile.electionMs,
      snapshotInterval: profile.snapshotInterval,
      trailingEntries: profile.trailingEntries,
      proposals: { maxCount: maxProposals, maxBytes: 16 * 1024 * 1024 },
    });
    void node.failed.then((error) => {
      if (process.isAlive) kernel.after(0, process, () => this.#failed(error));
    });
    observer.watch(node);
    const running = { process, log: watched, node, machine, state: replica, observer };
    this.#running = running;
    await node.start(this.#watchedState(running));
  }

  /** Every apply is compared with what the log says. */
  #watchedState(running: Running): ReplicatedState {
    const { state, machine, observer } = running;
    const { truth, coverage } = this.#world;
    const { id } = this;
    return {
      get applied() {
        return state.applied;
      },
      get membership() {
        return state.membership;
      },
      apply: async (entries) => {
        this.#guard(() => observer.observeCommit());
        const results = await state.apply(entries);
        this.#guard(() => {
          for (const [at, { index }] of entries.entries())
            truth.answered(id, index, results[at] as Uint8Array);
          truth.applied(id, state.applied, machine.hash);
        });
        return results;
      },
      snapshot: async () => {
        const position = await state.snapshot();
        coverage.snapshots++;
        return position;
      },
      install: async (position) => {
        await state.install(position);
        coverage.installs++;
        this.#guard(() => truth.applied(id, position, machine.hash));
      },
      membershipAt: (position) => state.membershipAt(position),
    };
  }

  #onRecord(log: WatchedLog, record: LogRecord): void {
    const { hardState = log.hardState, entries = [], snapshot } = record;
    this.#guard(() => {
      const { truth, coverage } = this.#world;
      truth.begins(this.id, hardState, log.hardState.term);
      checkChanges(log, hardState, entries);
      if (snapshot !== undefined) {
        const path = `${snapshotDirectory}/${snapshotName(snapshot)}`;
        const isThere = this.#disk.durableCopy().paths().includes(path);
        check(isThere, () => `the log of member ${this.id} names ${path}, which is not durable`);
      }
      for (const [at, entry] of entries.entries()) {
        truth.wrote(this.id, entry, entries[at - 1]?.term ?? log.term(entry.index - 1));
        if (entry.index <= log.lastIndex) coverage.conflicts++;
        if (entry.type !== 'configuration') continue;
        if (entry.data.length > 0 && decodeMembershipChange(entry.data).steps.length > 1)
          coverage.joints++;
        check(truth.uncommittedChanges(log) <= 1, () => 'two changes of members are under way');
      }
    });
  }

  /** An alarm of the core says that a log is damaged, and none is that anybody heard of. */
  #logger(): Logger {
    const error = (what: object, message: string): void => {
      if (message !== 'refused by consensus') return;
      const why = (what as { err?: Error }).err?.message;
      this.#world.violated(new Violation(`member ${this.id}: ${why}`));
    };
    return Object.assign(Object.create(silentLogger) as Logger, { error });
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#world.violated(error);
    }
  }

  /** The process ends by itself. Only a disk that fails may cause that. */
  #failed(error: unknown): void {
    const code = (error as { code?: string }).code;
    if (code === 'ETL_STORAGE_FAILED' && this.diskFails) {
      this.#world.coverage.diskFailures++;
      return this.kill('process');
    }
    if (code === 'ETL_STORAGE_CORRUPT' && this.#isRotten) {
      this.#world.coverage.rots++;
      return this.wipe();
    }
    this.#violated(`member ${this.id} ended`, error);
  }

  async #copySnapshot({ snapshot }: SnapshotShipment, from: MemoryDisk): Promise<boolean> {
    const path = `${snapshotDirectory}/${snapshotName(snapshot)}`;
    const bytes = await readWhole(from, path);
    if (bytes === undefined) return false;
    const disk = this.#disk;
    await disk.makeDirectory(snapshotDirectory);
    const file = await disk.open(`${path}.part`, 'create');
    try {
      await file.write(0, [bytes]);
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(`${path}.part`, path);
    await disk.syncDirectory(snapshotDirectory);
    return true;
  }

  #violated(what: string, error: unknown): void {
    const why = error instanceof Error ? error : new Error(String(error));
    this.#world.violated(
      why instanceof Violation ? why : new Violation(`${what}: ${why.stack ?? why.message}`),
    );
  }

  /** Flips a bit of the log. */
  #rot(): void {
    this.rots = false;
    const paths = this.#disk.paths().filter((path) => path.endsWith('.log'));
    const path = paths[this.#random.below(Math.max(1, paths.length))];
    if (path === undefined) return;
    const bytes = this.#disk.peek(path);
    const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
    if (used === 0) return;
    const at = this.#random.below(used);
    bytes[at] = (bytes[at] as number) ^ (1 << this.#random.below(8));
    this.#disk.poke(path, bytes);
    this.#isRotten = true;
    this.#world.trace.note('rot', this.id, at);
  }

  #newDisk(): MemoryDisk {
    const { kernel, profile } = this.#world;
    const random = this.#random;
    return new MemoryDisk({
      random,
      fault: (operation) => this.#fate(operation),
      schedule: ({ kind }, complete) => {
        const stallMs = this.stalledUntilMs - kernel.nowMs;
        const isSync = kind === 'sync' || kind === 'syncDirectory';
        if (!isSync && (kind !== 'write' || stallMs <= 0)) return complete();
        const latencyMs = isSync ? -Math.log(1 - random.next()) * profile.syncMs : 0;
        kernel.after(Math.max(latencyMs, stallMs), this.#process, complete);
      },
    });
  }

  #fate({ kind }: DiskOperation): DiskFault | undefined {
    if (!this.diskFails || (kind !== 'write' && kind !== 'sync')) return undefined;
    if (this.#random.next() >= this.#world.profile.diskErrors) return undefined;
    this.#world.trace.note('disk error', this.id);
    return kind === 'write' && this.#random.below(2) === 0 ? 'ENOSPC' : 'EIO';
  }
}

export function peerOf(id: number): Peer {
  return { id, name: `m${id}`, address: `m${id}:1` };
}

/** Whoever holds two changes of members knows that the first is committed, after a restart too. */
function checkChanges(log: WatchedLog, { commit }: HardState, entries: readonly Entry[]): void {
  const low = Math.max(log.firstIndex, commit + 1);
  const high = entries[0]?.index ?? 0;
  const held = low < high ? log.entries(low, high, Number.MAX_SAFE_INTEGER) : [];
  const open = [...held, ...entries].filter(({ type, index }) => {
    return type === 'configuration' && index > commit;
  });
  check(
    open.length < 2,
    () => `changes ${open.map(({ index }) => index).join(', ')} are both open`,
  );
}
