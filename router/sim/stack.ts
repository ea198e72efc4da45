// One process of a router as production builds it, on a disk, clock and network that are not real: log, replica and
// state machine, driver, and the API objects above. What it does is compared with the truth as it does it.

import { type Clock, type Logger, type Random, seededRandom, silentLogger } from '@etl-router/core';
import { Replica } from '../src/applied/replica.ts';
import type { ReplicatedState } from '../src/consensus/consensus.ts';
import { decodeMembershipChange } from '../src/raft/membership.ts';
import { RaftNode } from '../src/raft/node.ts';
import { nsOfMs } from '../src/server/numbers.ts';
import { Router } from '../src/server/router.ts';
import { StateHost } from '../src/server/state-host.ts';
import { restampProposal } from '../src/state/proposal.ts';
import type { DataDirectory } from '../src/storage/data-directory.ts';
import { Log } from '../src/storage/log.ts';
import type { Entry, HardState, LogPosition, LogRecord } from '../src/storage/log-types.ts';
import { readSnapshot, type SnapshotPlace, snapshotName } from '../src/storage/snapshot-file.ts';
import type { Hardware } from './hardware.ts';
import type { Process } from './kernel.ts';
import { WatchedMachine } from './machine.ts';
import type { World } from './member.ts';
import { maxProposals, Observer } from './observer.ts';
import { hashOfRows } from './state-hash.ts';
import { SlowStore } from './store.ts';
import { check, Violation } from './violation.ts';
import { WatchedLog } from './watched-log.ts';

/** First byte of the row of the members, which is no row of the state. */
const membershipTag = 0x7e;

export interface StackParts {
  readonly world: World;
  readonly hardware: Hardware;
  readonly directory: DataDirectory;
  readonly process: Process;
  readonly clock: Clock;
  /** Of what it draws itself; another with every process. */
  readonly seed: number;
}

export class Stack {
  readonly log: WatchedLog;
  readonly host: StateHost = new StateHost();
  readonly #parts: StackParts;
  readonly #id: number;
  readonly #snapshots: SnapshotPlace;
  readonly #machine: WatchedMachine;
  readonly #observer: Observer;
  #replica: Replica | undefined;
  #node: RaftNode | undefined;
  #router: Router | undefined;

  constructor(parts: StackParts, log: Log) {
    const { hardware, directory, world } = parts;
    const { clusterId, nodeId } = directory.identity;
    this.#parts = parts;
    this.#id = nodeId;
    this.#snapshots = { disk: hardware.disk, directory: directory.snapshotDirectory, clusterId };
    this.log = new WatchedLog(log, (record) => this.#onRecord(record));
    this.#machine = new WatchedMachine(this.host);
    this.#observer = new Observer(nodeId, world, this.log);
  }

  /** The log of a member, made if it never had one. */
  static async openLog({ directory, hardware, clock, world }: StackParts): Promise<Log> {
    const { clusterId, logId } = directory.identity;
    const log = await Log.open({
      ...{ disk: hardware.disk, directory: directory.logDirectory, clusterId, logId, clock },
      segmentBytes: world.profile.segmentBytes,
      allocateBytes: 2048,
      create: !directory.logCreated,
    });
    if (directory.logCreated && log.tornBytes > 0) world.coverage.note('tornTails');
    if (!directory.logCreated) await directory.markLogCreated();
    return log;
  }

  get node(): RaftNode | undefined {
    return this.#node;
  }

  /** Once it serves. */
  get router(): Router | undefined {
    return this.#router;
  }

  /** The last entry whose effects a read here sees. */
  get seen(): number {
    return this.#machine.seen;
  }

  /** The last entry it applied, and what it makes of it. */
  get digest(): string {
    const { index, term } = this.#replica?.applied ?? {};
    return `${index} ${term} ${this.#machine.fullHash}`;
  }

  inspect(): void {
    this.#observer.inspect();
  }

  /** Resolves when it takes part and serves. */
  async start(failed: (error: unknown) => void): Promise<void> {
    const { world, directory, clock, seed, process } = this.#parts;
    const { kernel, profile } = world;
    const random = seededRandom(seed);
    const wait = (): Promise<void> => {
      if (profile.applyMs === 0) return Promise.resolve();
      const ms = -Math.log(1 - random.next()) * profile.applyMs;
      return new Promise((resolve) => {
        kernel.after(ms, process, resolve);
      });
    };
    const replica = await Replica.open({
      store: new SlowStore(wait),
      machine: this.#machine,
      log: this.log,
      snapshots: this.#snapshots,
    });
    this.#replica = replica;
    this.#machine.seen = replica.applied.index;
    const { clusterId, nodeId } = directory.identity;
    const node = new RaftNode({
      ...{ log: this.log, clusterId, clock, nodeId, random, logger: this.#logger() },
      founders: directory.founding,
      transport: world.network.transportOf(process),
      heartbeatMs: profile.heartbeatMs,
      electionMs: profile.electionMs,
      snapshotInterval: profile.snapshotInterval,
      trailingEntries: profile.trailingEntries,
      proposals: { maxCount: maxProposals, maxBytes: 16 * 1024 * 1024 },
      ...(profile.isForwarding && { forwarder: world.network.forwarderOf(process) }),
      restamp: (command) => restampProposal(command, nsOfMs(clock.wallMs())),
    });
    void node.failed.then((error) => {
      if (process.isAlive) kernel.after(0, process, () => failed(error));
    });
    this.#observer.watch(node);
    this.#node = node;
    if (this.#machine.seen > 0)
      this.#guard(() => world.truth.applied(nodeId, replica.applied, this.#machine.fullHash));
    await node.start(this.#watched(replica));
    this.#serve(node, seededRandom(seed + 1));
  }

  /** As router/src/process.ts does. */
  #serve(node: RaftNode, random: Random): void {
    const { hardware, clock } = this.#parts;
    const router = new Router({
      ...{ host: this.host, clock, random, logger: silentLogger },
      consensus: this.#readsWatched(node),
      nodeName: hardware.name,
      isNetworked: true,
    });
    node.watchLeadership((leads) => {
      if (leads) router.lead();
      else void router.follow();
    });
    if (node.leads) router.lead();
    this.#router = router;
  }

  /** I15: what is granted to a read covers all that was answered before it was asked. */
  #readsWatched(node: RaftNode): RaftNode {
    const { truth } = this.#parts.world;
    const readIndex: RaftNode['readIndex'] = async (options) => {
      const { told } = truth;
      const granted = await node.readIndex(options);
      this.#guard(() => {
        check(
          'Reads',
          granted >= told,
          () => `member ${this.#id} grants a read entry ${granted}, ${told} was answered before`,
        );
      });
      return granted;
    };
    return new Proxy(node, {
      get: (target, name) => {
        if (name === 'readIndex') return readIndex;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }

  /** Every apply is compared with what the log says. */
  #watched(state: Replica): ReplicatedState {
    const { truth, coverage } = this.#parts.world;
    const id = this.#id;
    return {
      get applied() {
        return state.applied;
      },
      get membership() {
        return state.membership;
      },
      apply: async (entries) => {
        this.#guard(() => this.#observer.observeCommit());
        this.#machine.expect(entries);
        const results = await state.apply(entries);
        const last = entries.at(-1);
        this.#machine.seen = last?.index ?? this.#machine.seen;
        this.#guard(() => {
          for (const [at, { index }] of entries.entries())
            truth.answered(id, index, results[at] as Uint8Array);
          if (last !== undefined) truth.applied(id, last, this.#machine.hash);
        });
        return results;
      },
      snapshot: async () => {
        const position = await state.snapshot();
        coverage.note('snapshots');
        await this.#checkSnapshot(position);
        return position;
      },
      install: async (position) => {
        await state.install(position);
        this.#machine.seen = position.index;
        coverage.note('installs');
        this.#guard(() => truth.applied(id, position, this.#machine.fullHash));
      },
      membershipAt: (position) => state.membershipAt(position),
    };
  }

  /** I14: a snapshot is the state as of its entry, and nothing else. */
  async #checkSnapshot(position: LogPosition): Promise<void> {
    const rows = await readSnapshot(this.#snapshots, position);
    const hash = hashOfRows(rows.filter(([key]) => key[0] !== membershipTag));
    this.#guard(() => {
      check(
        'Snapshots',
        hash === this.#parts.world.truth.stateHashAt(position.index),
        () =>
          `the snapshot of member ${this.#id} is not the state after entry ${position.index}, whose name it has`,
      );
    });
  }

  #onRecord(record: LogRecord): void {
    const { log } = this;
    const { hardState = log.hardState, entries = [], snapshot } = record;
    this.#guard(() => {
      const { truth, coverage } = this.#parts.world;
      const id = this.#id;
      truth.begins(id, hardState, log.hardState.term);
      checkChanges(log, hardState, entries);
      if (snapshot !== undefined) {
        const path = `${this.#snapshots.directory}/${snapshotName(snapshot)}`;
        const isThere = this.#parts.hardware.disk.durableCopy().paths().includes(path);
        check(
          'Snapshots',
          isThere,
          () => `the log of member ${id} names ${path}, which is not durable`,
        );
      }
      for (const [at, entry] of entries.entries()) {
        truth.wrote(id, entry, entries[at - 1]?.term ?? log.term(entry.index - 1));
        if (entry.index <= log.lastIndex) coverage.note('conflicts');
        if (entry.type !== 'configuration') continue;
        if (entry.data.length > 0 && decodeMembershipChange(entry.data).steps.length > 1)
          coverage.note('joints');
        check(
          'Members',
          truth.uncommittedChanges(log) <= 1,
          () => 'two changes of members are under way',
        );
      }
    });
  }

  /** An alarm of the core says that a log is damaged, and none is that anybody heard of. */
  #logger(): Logger {
    const error = (what: object, message: string): void => {
      if (message !== 'refused by consensus') return;
      const why = (what as { err?: Error }).err?.message;
      this.#parts.world.violated(new Violation('Alarm', `member ${this.#id}: ${why}`));
    };
    return Object.assign(Object.create(silentLogger) as Logger, { error });
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.#parts.world.violated(error);
    }
  }
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
    'Members',
    open.length < 2,
    () => `changes ${open.map(({ index }) => index).join(', ')} are both open`,
  );
}
