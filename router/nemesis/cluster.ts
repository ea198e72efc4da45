// The members of one run, and what an operator would ask them: who leads, whether all is well, who belongs to it.

import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isEtlError } from '@etl-router/core';
import { ClusterHealth } from '@etl-router/proto/admin';
import type { Hosts } from './hosts.ts';
import { Member } from './member.ts';

export interface ClusterOptions {
  readonly hosts: Hosts;
  readonly folder: string;
  readonly members: number;
  readonly snapshotInterval: number;
  readonly flags: readonly string[];
  /** Data directories other than the members' own folders. */
  readonly dataDirectoryOf: (member: number) => string | undefined;
}

/** What a member says of the cluster, as far as it is of use here. */
export interface SeenCluster {
  readonly name: string;
  /** Empty: none is known. */
  readonly leader: string;
  readonly term: bigint;
  readonly clusterId: string;
  readonly revision: bigint;
  readonly commitIndex: bigint;
  readonly health: ClusterHealth;
  readonly members: readonly { readonly name: string; readonly raftId: bigint }[];
}

const startMaxMs = 90_000;
const statusMaxMs = 1000;
const pollMs = 25;

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #members = new Map<number, Member>();
  readonly #lost: Member[] = [];

  constructor(options: ClusterOptions) {
    this.#options = options;
    for (let number = 1; number <= options.members; number++) this.add(number);
  }

  /** All that were not lost for good. */
  get members(): readonly Member[] {
    return [...this.#members.values()];
  }

  get hosts(): Hosts {
    return this.#options.hosts;
  }

  get folder(): string {
    return this.#options.folder;
  }

  member(number: number): Member {
    const member = this.#members.get(number);
    if (member === undefined) throw new Error(`there is no member ${number}`);
    return member;
  }

  /** Another process, started with all that are there as peers. It belongs to the cluster once it is added. */
  add(number: number): Member {
    const { hosts, folder, members, snapshotInterval, flags } = this.#options;
    const founders = Array.from({ length: members }, (_, at) => at + 1);
    const isFounder = number <= members;
    const peers = isFounder ? founders : [...this.#members.keys()];
    const own = join(folder, `member-${number}`);
    const member = new Member({
      ...{ hosts, number, peers, snapshotInterval, flags, folder: own },
      dataDirectory: () => this.#options.dataDirectoryOf(number) ?? join(own, 'data'),
    });
    this.#members.set(number, member);
    return member;
  }

  /** Takes a member out of what is looked after; it is lost for good. */
  forget(member: Member): void {
    this.#members.delete(member.number);
    this.#lost.push(member);
  }

  /** Ends of processes that nobody asked for. */
  get deaths(): readonly string[] {
    return this.#all.flatMap(({ deaths }) => deaths);
  }

  /** What members said of states that differ. */
  get alarms(): readonly string[] {
    return this.#all.flatMap(({ alarms }) => alarms);
  }

  /** Starts members; resolves when they are ready, however long a busy machine takes to load them. */
  async start(members: readonly Member[] = this.members): Promise<void> {
    await Promise.all(members.map((member) => member.start()));
    const ready = ({ name, ready: done }: Member): Promise<void> =>
      within(startMaxMs, `the start of member ${name}`, done);
    await Promise.all(members.map(ready));
  }

  /** The cluster as a member sees it; undefined: it did not say. */
  async statusOf(member: Member): Promise<SeenCluster | undefined> {
    try {
      return await member.admin.getClusterStatus({}, { deadlineMs: statusMaxMs });
    } catch (error) {
      if (isEtlError(error)) return undefined;
      throw error;
    }
  }

  /** The member that leads and says so itself, of the highest term if several do. */
  async leader(maxMs = 15_000): Promise<Member> {
    const found = await until(maxMs, 'there is a leader', async () => {
      const seen = await this.#statuses();
      const leads = seen.filter(([{ name }, { leader }]) => leader === name);
      return leads.toSorted(([, a], [, b]) => Number(b.term - a.term))[0];
    });
    return found[0];
  }

  /** Members that do not lead, in an order drawn by whoever asks. */
  async followers(): Promise<readonly Member[]> {
    const leader = await this.leader();
    return this.members.filter((member) => member !== leader);
  }

  /** Resolves once every member runs, agrees on the leader, and the leader finds all of them well. */
  async healthy(maxMs: number): Promise<void> {
    await until(maxMs, 'the cluster is healthy', async () => {
      const seen = await this.#statuses();
      if (seen.length < this.#members.size) return undefined;
      const leaders = new Set(seen.map(([, { leader }]) => leader));
      const leads = seen.find(([{ name }, { leader }]) => leader === name);
      const isWell = leads?.[1].health === ClusterHealth.HEALTHY;
      const all = leads?.[1].members.length === this.#members.size;
      return leaders.size === 1 && isWell && all ? true : undefined;
    });
  }

  /** Resolves once all members have compared what they hold as of an entry after this moment, and agreed. */
  async compared(maxMs: number): Promise<void> {
    const { commitIndex } = (await this.statusOf(await this.leader())) ?? { commitIndex: 0n };
    await until(maxMs, `the members agree on their states after entry ${commitIndex}`, async () => {
      const checked = await Promise.all(this.members.map(checkedIndexOf));
      return checked.every((index) => index > Number(commitIndex)) ? true : undefined;
    });
  }

  /** The Raft id of a member of the cluster. */
  async raftIdOf(name: string): Promise<bigint> {
    const status = await this.statusOf(await this.leader());
    const found = status?.members.find((member) => member.name === name);
    if (found === undefined) throw new Error(`member ${name} does not belong to the cluster`);
    return found.raftId;
  }

  /** Ends every process by the means at hand. */
  async close(): Promise<void> {
    await Promise.all(this.#all.map((member) => member.kill()));
    for (const member of this.#all) member.close();
  }

  get #all(): readonly Member[] {
    return [...this.members, ...this.#lost];
  }

  async #statuses(): Promise<(readonly [Member, SeenCluster])[]> {
    const asked = this.members.filter(({ isRunning }) => isRunning);
    const said = await Promise.all(
      asked.map(async (member) => [member, await this.statusOf(member)] as const),
    );
    return said.flatMap(([member, status]) => (status === undefined ? [] : [[member, status]]));
  }
}

/** The last entry at which a member found that it holds what a majority does; 0: none, or it did not say. */
async function checkedIndexOf({ admin }: Member): Promise<number> {
  const names = ['etl_router_state_checked_index'];
  try {
    const { samples } = await admin.getMetrics({ names }, { deadlineMs: statusMaxMs });
    return samples[0]?.value ?? 0;
  } catch (error) {
    if (isEtlError(error)) return 0;
    throw error;
  }
}

/** Polls until there is an answer. */
export async function until<Value>(
  maxMs: number,
  what: string,
  ask: () => Promise<Value | undefined>,
): Promise<Value> {
  const endMs = performance.now() + maxMs;
  for (;;) {
    const value = await ask();
    if (value !== undefined) return value;
    if (performance.now() >= endMs) throw new Error(`it took more than ${maxMs} ms until ${what}`);
    await pause(pollMs);
  }
}

/** The work's own result, or an error when it takes longer. */
export async function within<Value>(
  maxMs: number,
  what: string,
  work: Promise<Value>,
): Promise<Value> {
  const over = new AbortController();
  const late = pause(maxMs, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${what} took more than ${maxMs} ms`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
    late.catch(() => undefined);
  }
}
