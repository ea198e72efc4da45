// One member: an identity on some hardware, and the process that runs under it from time to time. It can be killed at
// any moment and started again; what it promised holds for all of its processes.

import type { Message } from '../src/raft/messages.ts';
import type { RaftNode } from '../src/raft/node.ts';
import type { Peer, RaftReceiver, SnapshotShipment } from '../src/raft/transport.ts';
import type { Router } from '../src/server/router.ts';
import { DataDirectory, type Identity } from '../src/storage/data-directory.ts';
import { readWhole } from '../src/storage/disk.ts';
import type { Entry } from '../src/storage/log-types.ts';
import type { MemoryDisk } from '../src/storage/memory-disk.ts';
import { snapshotName } from '../src/storage/snapshot-file.ts';
import type { Coverage } from './coverage.ts';
import type { Hardware } from './hardware.ts';
import { type Kernel, Process } from './kernel.ts';
import type { Network, Station } from './network.ts';
import type { Profile } from './profile.ts';
import { Promises } from './promises.ts';
import { Stack } from './stack.ts';
import type { Trace } from './trace.ts';
import type { Truth } from './truth.ts';
import { check, Violation } from './violation.ts';
import type { WatchedLog } from './watched-log.ts';

/** What all members of a run share. */
export interface World {
  readonly seed: number;
  readonly kernel: Kernel;
  readonly network: Network;
  readonly profile: Profile;
  readonly truth: Truth;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly member: (id: number) => Member | undefined;
  /** Whether a client waits for an answer to a write. */
  readonly hasLoad: () => boolean;
  /** The run is over: this must not have happened. */
  readonly violated: (error: Violation) => void;
}

/** Where a member keeps everything. */
export const memberDirectory = 'member';

export class Member implements Station {
  readonly id: number;
  readonly hardware: Hardware;
  /** Its disk is gone, and with it who it was. */
  isWiped = false;
  /** Nobody starts it again. */
  isRetired = false;
  /** The next start finds its log damaged. */
  rots = false;
  readonly #world: World;
  readonly #promises: Promises;
  #process: Process | undefined;
  #stack: Stack | undefined;
  #ended = Promise.withResolvers<never>();
  readonly #takes = new Set<(taken: boolean) => void>();
  #lastLog: WatchedLog | undefined;
  #starts = 0;

  constructor(identity: Identity, hardware: Hardware, world: World) {
    const { nodeId, clusterId, logId } = identity;
    this.id = nodeId;
    this.hardware = hardware;
    this.#world = world;
    this.#promises = new Promises({ directory: `${memberDirectory}/log`, clusterId, logId });
  }

  get process(): Process | undefined {
    return this.#process;
  }

  get receiver(): RaftReceiver | undefined {
    return this.#stack?.node?.receiver;
  }

  get node(): RaftNode | undefined {
    return this.#stack?.node;
  }

  get peer(): Peer {
    const { name } = this.hardware;
    return { id: this.id, name, address: `${name}:1` };
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  get isLeader(): boolean {
    return this.node?.status().role === 'leader';
  }

  /** The last entry it applied, and what it makes of it. */
  get digest(): string {
    return `${this.#stack?.digest}`;
  }

  /** For people. */
  get description(): string {
    const { node, log } = this.#stack ?? {};
    const who = `member ${this.id} (${this.hardware.name})`;
    const why = this.isWiped ? 'wiped' : this.isRetired ? 'retired' : 'down';
    if (node === undefined || log === undefined) return `${who}: ${why}`;
    const { role, term, leaderId, commitIndex, lastApplied, lastIndex } = node.status();
    const { voters, outgoing, learners } = node.membership.configuration;
    const list = [voters, outgoing, learners].map((ids) => ids.join(',')).join(' | ');
    const progress = node.progress.map(({ id, match, state }) => `${id}:${match} ${state}`);
    return `${who}: ${role} of term ${term}, leader ${leaderId}, commit ${commitIndex}, applied ${lastApplied}, log ${log.firstIndex}-${lastIndex}, members ${list}; ${progress.join(', ')}`;
  }

  /** Whether its log has that entry; of a member that is down nothing is known. */
  holds(index: number, term: number | undefined): boolean {
    const { log } = this.#stack ?? {};
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
    const { commitIndex, lastApplied, lastIndex } = this.node?.status() ?? {};
    return lastApplied === commitIndex && lastApplied === lastIndex;
  }

  /** Its log may hold a change of members that not everyone knows. */
  get hasUncommittedChange(): boolean {
    const { log } = this.#stack ?? {};
    return log === undefined || this.#world.truth.uncommittedChanges(log) > 0;
  }

  /** Its disk is gone, or damaged, whether it knows of that already or finds it at its next start. */
  get hasLostDisk(): boolean {
    return this.isWiped || this.rots || this.hardware.isRotten;
  }

  /** Starts a process; it serves some time later. */
  start(): void {
    const { kernel, trace } = this.#world;
    if (this.isUp || this.isRetired || this.isWiped) return;
    this.hardware.switchOn();
    if (this.rots) this.hardware.rot();
    this.rots = false;
    const process = new Process(this.id);
    this.#process = process;
    this.hardware.process = process;
    this.#ended = Promise.withResolvers<never>();
    this.#ended.promise.catch(() => {});
    trace.note('start', this.id);
    kernel.after(0, process, () => {
      this.#open(process).catch((error: unknown) => {
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
    this.#stack = undefined;
    this.hardware.end(how);
    for (const done of [...this.#takes]) done(false);
    this.#takes.clear();
    this.#ended.reject(new Error('the member is gone'));
  }

  /** Stops as an operator would stop it: what can be answered is, and the log is closed. */
  async stop(): Promise<void> {
    const [process, stack] = [this.#process, this.#stack];
    if (process === undefined || stack?.router === undefined) return;
    this.#world.trace.note('stop', this.id);
    await this.whileUp(stack.router.close());
    await this.whileUp(stack.node?.close() ?? Promise.resolve());
    if (process === this.#process) this.kill('process');
  }

  /** Loses everything. */
  wipe(): void {
    this.kill('power');
    this.isWiped = true;
    this.hardware.replaceDisk();
  }

  /** The value, unless the process ends first. */
  async whileUp<Value>(value: Promise<Value>): Promise<Value> {
    return await Promise.race([value, this.#ended.promise]);
  }

  /** What a client asks of its API. */
  async ask<Value>(question: (router: Router) => Promise<Value>): Promise<Value> {
    const { router } = this.#stack ?? {};
    if (router === undefined) throw new Error('the member is down');
    return await this.whileUp(question(router));
  }

  /** A linearizable read, with the entry as of which it was read. */
  async read<Value>(
    look: (router: Router) => Value,
    signal: AbortSignal,
  ): Promise<{ value: Value; index: number }> {
    const stack = this.#stack;
    if (stack?.router === undefined) throw new Error('the member is down');
    await this.whileUp(stack.router.barrier(signal));
    return { value: look(stack.router), index: stack.seen };
  }

  takeSnapshot(shipment: SnapshotShipment, from: number, done: (taken: boolean) => void): void {
    const sender = this.#world.member(from);
    const process = this.#process;
    if (sender === undefined || !sender.isUp || process === undefined) return done(false);
    this.#takes.add(done);
    const end = (taken: boolean): void => {
      if (this.#takes.delete(done)) done(taken);
    };
    this.#copySnapshot(shipment, sender.hardware.disk).then(
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
    const { log } = this.#stack ?? {};
    if (from !== this.id || log === undefined) return;
    const { truth, member, kernel } = this.#world;
    if (type === 'timeoutNow') {
      const last = log.lastIndex;
      // Of a term that is over by now the log of today says nothing.
      const isOver = log.hardState.term > term;
      const isReady = isOver || (member(to)?.holds(last, log.term(last)) ?? true);
      check(
        'Transfer',
        isReady,
        () => `member ${from} hands over to ${to}, which lacks entry ${last}`,
      );
    }
    const promised = this.#promises.note(message, log);
    if (promised === 'vote') truth.voted(this.id, term, to);
    // Reading the disk takes a while: of entries some are looked at.
    if (promised === 'vote' || (promised === 'entry' && kernel.count % 32 === 0)) {
      this.#promises.checkDisk(message, log, this.hardware.disk).catch((error: unknown) => {
        this.#violated(`member ${this.id} promised`, error);
      });
    }
  }

  /** Compares it with the truth. */
  inspect(): void {
    this.#stack?.inspect();
  }

  async #open(process: Process): Promise<void> {
    const { hardware } = this;
    const world = this.#world;
    const { disk, name, random } = hardware;
    const directory = await DataDirectory.open({
      ...{ disk, name, random, path: memberDirectory, waits: true },
    });
    const clock = hardware.clockOf(process);
    process.clock = clock;
    this.#starts++;
    const seed = hardware.seed + this.#starts * 1024;
    const parts = { world, hardware, directory, process, clock, seed };
    const stack = new Stack(parts, await Stack.openLog(parts));
    const { log } = stack;
    this.#promises.checkRecovered(log, (index) => log.term(index));
    world.truth.voted(this.id, log.hardState.term, log.hardState.vote);
    this.#lastLog = log;
    this.#stack = stack;
    await stack.start((error) => this.#failed(error));
  }

  /** The process ends by itself. Only a disk that fails may cause that. */
  #failed(error: unknown): void {
    const code = (error as { code?: string }).code;
    const { coverage } = this.#world;
    if (code === 'ETL_STORAGE_FAILED' && this.hardware.hasFailed) {
      coverage.note('diskFailures');
      this.kill('process');
      // The last error of a disk that works again by now: nobody else starts who ended of it.
      if (!this.hardware.fails) this.start();
      return;
    }
    if (code === 'ETL_STORAGE_CORRUPT' && this.hardware.isRotten) {
      coverage.note('rots');
      return this.wipe();
    }
    this.#violated(`member ${this.id} ended`, error);
  }

  async #copySnapshot({ snapshot }: SnapshotShipment, from: MemoryDisk): Promise<boolean> {
    const directory = `${memberDirectory}/snapshots`;
    const path = `${directory}/${snapshotName(snapshot)}`;
    const bytes = await readWhole(from, path);
    if (bytes === undefined) return false;
    const { disk } = this.hardware;
    await disk.makeDirectory(directory);
    const file = await disk.open(`${path}.part`, 'create');
    try {
      await file.write(0, [bytes]);
      await file.sync();
    } finally {
      await file.close();
    }
    await disk.rename(`${path}.part`, path);
    await disk.syncDirectory(directory);
    return true;
  }

  #violated(what: string, error: unknown): void {
    const why = error instanceof Error ? error : new Error(String(error));
    this.#world.violated(
      why instanceof Violation
        ? why
        : new Violation('Process', `${what}: ${why.stack ?? why.message}`),
    );
  }
}
