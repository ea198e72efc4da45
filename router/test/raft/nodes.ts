// Members of a cluster in one process, each as production drives it: node, log and replica over a disk in memory, with
// a network between them that delivers in microtasks and can be cut. Time is one clock, which the test moves.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { EtlError, ManualClock, seededRandom, silentLogger } from '@etl-router/core';
import { MemoryStore } from '../../src/applied/memory-store.ts';
import { Replica } from '../../src/applied/replica.ts';
import { unknownOutcome, withOutcome } from '../../src/consensus/outcome.ts';
import { checkMessage } from '../../src/raft/check-message.ts';
import type { Forwarder } from '../../src/raft/forwarding.ts';
import type { Message } from '../../src/raft/messages.ts';
import { RaftNode, type RaftNodeOptions } from '../../src/raft/node.ts';
import type { Peer, RaftTransport, SnapshotShipment } from '../../src/raft/transport.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { snapshotName } from '../../src/storage/snapshot-file.ts';
import { CountingMachine } from '../applied/counting-machine.ts';
import { clusterId, openLog } from '../storage/log-harness.ts';

const logDirectory = '/data/log';
const snapshotDirectory = '/data/snapshots';
const heartbeatMs = 100;

/** One member: what lasts, and what runs of it. */
export class NodeMember {
  readonly peer: Peer;
  readonly disk: MemoryDisk;
  node: RaftNode | undefined;
  machine = new CountingMachine();
  /** Every time it began (true) or ceased (false) to lead. */
  readonly leadership: boolean[] = [];

  constructor(id: number) {
    this.peer = { id, name: `node-${id}`, address: `127.0.0.1:${9000 + id}` };
    this.disk = new MemoryDisk({ random: seededRandom(id) });
  }

  /** The running node. */
  get running(): RaftNode {
    assert.ok(this.node, `${this.peer.name} does not run`);
    return this.node;
  }
}

export interface NodeClusterOptions extends Partial<RaftNodeOptions> {
  /** Whether members hand commands to the one that leads. Default: they refuse them. */
  readonly forwards?: boolean;
}

export class NodeCluster {
  readonly clock: ManualClock = new ManualClock();
  readonly members = new Map<number, NodeMember>();
  /** Snapshots that were carried from one disk to another. */
  snapshotsSent = 0;
  /** Commands that one member handed to another. */
  forwarded = 0;
  /** Whether what is handed over is taken, and the answer lost. */
  losesAnswers = false;
  readonly #cut = new Set<number>();
  readonly #options: Partial<RaftNodeOptions>;
  readonly #forwards: boolean;

  private constructor({ forwards = false, ...options }: NodeClusterOptions) {
    this.#options = options;
    this.#forwards = forwards;
  }

  /** Founds a cluster by member 1 and adds the others as voters; all of it ends with the test. */
  static async found(
    t: TestContext,
    ids: readonly number[],
    options: NodeClusterOptions = {},
  ): Promise<NodeCluster> {
    const cluster = new NodeCluster(options);
    t.after(() => cluster.close());
    for (const id of ids) await cluster.start(id);
    const others = ids.slice(1).map((id) => cluster.member(id).peer);
    const steps = others.map((peer) => ({ step: 'addVoter', ...peer }) as const);
    const [first] = ids as [number];
    if (steps.length > 0) {
      const change = { steps, autoLeave: true };
      await cluster.during(cluster.node(first).changeMembers(change));
    }
    return cluster;
  }

  /** Starts a member from what its disk holds. One that is new founds the cluster if it is member 1, else waits. */
  async start(id: number): Promise<RaftNode> {
    const member = this.members.get(id) ?? new NodeMember(id);
    this.members.set(id, member);
    const create = !member.disk.paths().some((path) => path.startsWith(logDirectory));
    const log = await openLog(member.disk, logDirectory, { create });
    member.machine = new CountingMachine();
    const replica = await Replica.open({
      store: new MemoryStore(),
      machine: member.machine,
      log,
      snapshots: { disk: member.disk, directory: snapshotDirectory, clusterId },
    });
    const node = new RaftNode({
      ...{ log, clusterId, nodeId: id, clock: this.clock, heartbeatMs, electionMs: 1000 },
      founders: id === 1 ? [member.peer] : [],
      transport: this.#transport(id),
      random: seededRandom(100 + id),
      logger: silentLogger,
      ...(this.#forwards && { forwarder: this.forwarderOf(id) }),
      ...this.#options,
    });
    node.watchLeadership((leads) => member.leadership.push(leads));
    member.node = node;
    await node.start(replica);
    return node;
  }

  async stop(id: number): Promise<void> {
    const member = this.member(id);
    const node = member.running;
    member.node = undefined;
    await node.close();
  }

  member(id: number): NodeMember {
    const member = this.members.get(id);
    assert.ok(member, `there is no member ${id}`);
    return member;
  }

  node(id: number): RaftNode {
    return this.member(id).running;
  }

  /** Whom all that run and are connected follow; waits for it, at most 30 s of the clock. */
  async leader(): Promise<number> {
    for (let passedMs = 0; passedMs <= 30_000; passedMs += heartbeatMs / 2) {
      const all = [...this.members.values()].filter(
        ({ node, peer }) => node !== undefined && !this.#cut.has(peer.id),
      );
      const leading = all.filter(({ node }) => node?.leads === true);
      const [leader] = leading;
      if (leader !== undefined && leading.length === 1) {
        const { id } = leader.peer;
        const belong = all.filter(({ peer }) => isMember(leader.running, peer.id));
        if (belong.every(({ node }) => node?.status().leaderId === id)) return id;
      }
      await this.pass(heartbeatMs / 2);
    }
    throw new Error('no leader within 30 s');
  }

  /** Cuts a member off. */
  isolate(id: number): void {
    this.#cut.add(id);
  }

  heal(): void {
    this.#cut.clear();
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advanceAsync(ms, heartbeatMs / 2);
    await settle();
  }

  /** Lets time pass until the promise is settled; at most 30 s of the clock. */
  async during<Value>(promise: Promise<Value>): Promise<Value> {
    let isSettled = false;
    const settled = (): void => {
      isSettled = true;
    };
    promise.then(settled, settled);
    await settle();
    for (let passedMs = 0; !isSettled && passedMs < 30_000; passedMs += heartbeatMs / 2) {
      await this.pass(heartbeatMs / 2);
    }
    assert.ok(isSettled, 'it was not settled within 30 s');
    return await promise;
  }

  async close(): Promise<void> {
    for (const { node } of this.members.values()) await node?.close();
  }

  #transport(from: number): RaftTransport {
    return {
      send: (messages) => {
        for (const message of messages) this.#deliver(message);
      },
      sendSnapshot: (shipment) => void this.#carry(from, shipment),
      setPeers() {
        // Whoever is in this process can be reached.
      },
      contacts: [],
      close: () => Promise.resolve(),
    };
  }

  /** Hands commands over as members do over the network. */
  forwarderOf(from: number): Forwarder {
    return {
      forward: async (to, command, options) => {
        const target = this.#reach(from, to);
        if (target === undefined)
          throw withOutcome(new EtlError('ETL_UNAVAILABLE', `${to} is away`), 'refused');
        this.forwarded += 1;
        const answer = await target.receiver.propose(command, options);
        if (this.losesAnswers) throw unknownOutcome('the answer was lost');
        return answer;
      },
      follow: () => undefined,
    };
  }

  #deliver(message: Message): void {
    assert.equal(checkMessage(message, message.to), undefined);
    queueMicrotask(() => {
      const to = this.#reach(message.from, message.to);
      if (to === undefined) this.members.get(message.from)?.node?.receiver.unreachable(message.to);
      else to.receiver.receive(message);
    });
  }

  #reach(from: number, to: number): RaftNode | undefined {
    const isCut = this.#cut.has(from) || this.#cut.has(to);
    return isCut ? undefined : this.members.get(to)?.node;
  }

  /** Copies the file from disk to disk, then says that it is there. */
  async #carry(from: number, shipment: SnapshotShipment): Promise<void> {
    const { to, term, snapshot, configuration } = shipment;
    const target = this.#reach(from, to);
    const sender = this.node(from);
    if (target === undefined) return sender.receiver.snapshotSent(to, false);
    const path = `${snapshotDirectory}/${snapshotName(snapshot)}`;
    await copyFile(this.member(from).disk, this.member(to).disk, path);
    this.snapshotsSent += 1;
    const body = { type: 'installSnapshot', index: snapshot.index } as const;
    const message = { from, to, term, ...body, indexTerm: snapshot.term, configuration };
    target.receiver.receive(message);
    sender.receiver.snapshotSent(to, true);
  }
}

function isMember(node: RaftNode, id: number): boolean {
  return node.membership.members.some((member) => member.id === id);
}

/** Lets everything happen that needs no time to pass. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

async function copyFile(from: MemoryDisk, to: MemoryDisk, path: string): Promise<void> {
  const source = await from.open(path, 'read');
  const content = await source.read(0, await source.size());
  await source.close();
  await to.makeDirectory(snapshotDirectory);
  const target = await to.open(path, 'create');
  await target.write(0, [content]);
  await target.sync();
  await target.close();
  await to.syncDirectory(snapshotDirectory);
}
