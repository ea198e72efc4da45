// The machines of a run and who lives on them. Identities are those that production mints: with the data directory, so
// that a machine whose disk was lost comes back as somebody else.

import { type Random, seededRandom } from '@etl-router/core';
import { DataDirectory, type Identity } from '../src/storage/data-directory.ts';
import { Hardware } from './hardware.ts';
import { Member, memberDirectory, type World } from './member.ts';
import { mixSeed } from './profile.ts';

const clusterId = 'simulated';

export class Cluster {
  readonly #world: World;
  readonly #clocks: Random;
  readonly #members = new Map<number, Member>();
  #machines = 0;

  constructor(world: World, clocks: Random) {
    this.#world = world;
    this.#clocks = clocks;
  }

  /** Everyone there ever was. */
  get members(): readonly Member[] {
    return [...this.#members.values()];
  }

  member(id: number): Member | undefined {
    return this.#members.get(id);
  }

  /** The cluster's first members, started; the first of them writes down who they are. */
  async found(count: number): Promise<void> {
    const machines = Array.from({ length: count }, () => this.#machine());
    const identities: Identity[] = [];
    for (const machine of machines) identities.push(await openIdentity(machine));
    const founders = identities.map(({ nodeId, name }) => peerOf(nodeId, name));
    for (const [at, machine] of machines.entries()) {
      const identity = await openIdentity(machine, at === 0 ? founders : []);
      this.#settle(identity, machine).start();
    }
  }

  /** A member on a new machine, started, that nobody knows yet. */
  async grow(): Promise<Member> {
    const machine = this.#machine();
    const identity = await this.#unlessItsDiskFails(machine);
    if (identity === undefined) return await this.grow();
    const member = this.#settle(identity, machine);
    member.start();
    return member;
  }

  /** A machine whose disk was lost is started again, with an empty one. */
  async restart(lost: Member): Promise<void> {
    const { hardware } = lost;
    if (!lost.isWiped || hardware.process !== undefined) return;
    const identity = await this.#unlessItsDiskFails(hardware);
    if (identity === undefined) {
      this.#world.kernel.after(100, undefined, () => void this.restart(lost));
      return;
    }
    this.#world.trace.note(`machine ${hardware.name} is`, identity.nodeId);
    this.#world.coverage.note('rejoins');
    const known = this.#members.get(identity.nodeId);
    if (known !== undefined) known.isWiped = false;
    (known ?? this.#settle(identity, hardware)).start();
  }

  /** Who a machine is that had an empty disk; undefined where an error of that disk kept it from being anybody. */
  async #unlessItsDiskFails(machine: Hardware): Promise<Identity | undefined> {
    try {
      return await openIdentity(machine, []);
    } catch (error) {
      const { code } = error as { readonly code?: string };
      if (code === 'ETL_STORAGE_FAILED' && machine.hasFailed) return undefined;
      throw error;
    }
  }

  #settle(identity: Identity, machine: Hardware): Member {
    const member = new Member(identity, machine, this.#world);
    this.#members.set(member.id, member);
    return member;
  }

  #machine(): Hardware {
    const { kernel, profile, trace, seed } = this.#world;
    const clocks = this.#clocks;
    this.#machines++;
    const rate = profile.isClockSkewed ? 0.9 + clocks.next() * 0.2 : 1;
    const skewMs = profile.isClockSkewed ? (clocks.next() - 0.5) * 1_200_000 : 0;
    const own = mixSeed(seed, this.#machines);
    const random = seededRandom(own);
    const name = `m${this.#machines}`;
    return new Hardware({ name, kernel, profile, trace, random, rate, skewMs, seed: own });
  }
}

/** What the data directory of a machine says, made where there is none; with `founders` it is of the cluster. */
async function openIdentity(
  { disk, name, random }: Hardware,
  founders?: readonly { readonly id: number; readonly name: string; readonly address: string }[],
): Promise<Identity> {
  const directory = await DataDirectory.open({
    ...{ disk, name, random, path: memberDirectory, waits: true },
  });
  if (founders !== undefined) await directory.adopt(clusterId, founders);
  const { identity } = directory;
  await directory.close();
  return identity;
}

function peerOf(id: number, name: string): { id: number; name: string; address: string } {
  return { id, name, address: `${name}:1` };
}
