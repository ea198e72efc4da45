// Whatever can go wrong outside of the process, as the list of faults says.

import { type Random, seededRandom } from '@etl-router/core';
import type { Cluster } from './cluster.ts';
import type { Fault, FaultKind } from './faults.ts';
import type { Member, World } from './member.ts';
import type { Operator } from './operator.ts';

export interface NemesisParts {
  readonly world: World;
  readonly random: Random;
  readonly cluster: Cluster;
  readonly operator: Operator;
  readonly faults: readonly Fault[];
}

export class Nemesis {
  readonly #parts: NemesisParts;
  readonly #waiting = new Set<Member>();
  #isOn = true;
  /** Numbers of the faults so far. */
  readonly happened: number[] = [];

  constructor(parts: NemesisParts) {
    this.#parts = parts;
  }

  start(): void {
    const { world, cluster, faults } = this.#parts;
    for (const { number, kind, atMs, seed } of faults) {
      world.kernel.after(atMs, undefined, () => {
        if (!this.#isOn) return;
        this.happened.push(number);
        world.trace.note(`fault ${number} ${kind}`);
        this.#acts[kind](seededRandom(seed));
      });
    }
    for (const { hardware } of cluster.members) hardware.fails = world.profile.diskErrors > 0;
    this.#restartLater();
  }

  /** Everything works from here on. */
  calm(): void {
    const { world, cluster } = this.#parts;
    this.#isOn = false;
    world.network.calm();
    for (const member of cluster.members) {
      member.hardware.fails = false;
      member.hardware.stalledUntilMs = 0;
      if (member.process !== undefined) member.process.pausedUntilMs = 0;
      member.start();
    }
  }

  readonly #acts: { readonly [kind in FaultKind]: (random: Random) => void } = {
    partition: (random) => this.#partition(random),
    crash: (random) => this.#crash(random),
    pause: (random) => this.#pause(random),
    stall: (random) => this.#stall(random),
    wipe: (random) => this.#wipe(random),
    outage: () => this.#outage(),
    restart: (random) => this.#restart(random),
    deposition: (random) => this.#depose(random),
    churn: () => this.#parts.operator.wantChurn(),
    transfer: () => this.#parts.operator.wantTransfer(),
  };

  /** Whoever is down is started again some time later. */
  #restartLater(): void {
    const { world, random, cluster } = this.#parts;
    world.kernel.after(50, undefined, () => {
      if (!this.#isOn) return;
      for (const member of cluster.members) {
        if (member.isUp || member.isWiped || member.isRetired || this.#waiting.has(member))
          continue;
        this.#waiting.add(member);
        const waitMs = random.next() ** 2 * 8000;
        world.kernel.after(waitMs, undefined, () => {
          this.#waiting.delete(member);
          member.hardware.fails = this.#isOn && world.profile.diskErrors > 0;
          member.start();
        });
      }
      this.#restartLater();
    });
  }

  /** A member that is up; often the leader, because more depends on it. */
  #victim(random: Random): Member | undefined {
    const { cluster, operator } = this.#parts;
    const { leader } = operator;
    if (random.below(3) === 0 && leader !== undefined) return leader;
    const up = cluster.members.filter(({ isUp }) => isUp);
    return up[random.below(Math.max(1, up.length))];
  }

  #partition(random: Random): void {
    const { world, cluster } = this.#parts;
    const { network, coverage, trace } = world;
    const isOneWay = random.below(3) === 0;
    const victim = this.#victim(random);
    const isolates = random.below(2) === 0;
    const lastsMs = 200 + random.next() ** 2 * 8000;
    const side = new Map(cluster.members.map((member) => [member.id, random.below(2)]));
    const sideOf = (id: number): number =>
      isolates ? Number(id === victim?.id) : (side.get(id) ?? 0);
    for (const { id: from } of cluster.members) {
      for (const { id: to } of cluster.members) {
        if (sideOf(from) === sideOf(to) || (isOneWay && sideOf(from) === 0)) continue;
        network.cut(from, to);
      }
    }
    coverage.note('partitions');
    trace.note(isOneWay ? 'cut one way' : 'cut', ...cluster.members.map(({ id }) => sideOf(id)));
    this.#healLater(lastsMs);
  }

  #healLater(lastsMs: number): void {
    const { kernel, network, trace } = this.#parts.world;
    kernel.after(lastsMs, undefined, () => {
      trace.note('heal');
      network.heal();
    });
  }

  /**
   * The leader, perhaps with others that can not follow anyone else, is cut off until another one leads, and leads again
   * soon: what it believed in its first term must not live on in the second.
   */
  #depose(random: Random): void {
    const { world, operator, cluster } = this.#parts;
    const { network, profile, coverage, trace } = world;
    const { leader } = operator;
    const lastsMs = profile.electionMs * (1.4 + 1.2 * random.next());
    const earlyMs = 300 * random.next();
    const isAlone = random.below(2) === 0;
    const companion = random.below(16);
    const voters = leader?.node?.membership.configuration.voters ?? [];
    if (leader === undefined || voters.length < 3) return;
    const others = voters.filter((id) => id !== leader.id);
    const side = new Set([leader.id]);
    if (!isAlone && voters.length > 4) side.add(others[companion % others.length] as number);
    for (const { id: from } of cluster.members) {
      for (const { id: to } of cluster.members)
        if (side.has(from) !== side.has(to)) network.cut(from, to);
    }
    coverage.note('depositions');
    trace.note('depose', ...side);
    // Asked for while it is cut off, leadership is handed back as soon as it has caught up.
    world.kernel.after(lastsMs - earlyMs, undefined, () => {
      if (this.#isOn) operator.wantLeader(leader.id);
    });
    this.#healLater(lastsMs);
  }

  #crash(random: Random): void {
    const { world, cluster } = this.#parts;
    const how = random.below(3) > 0 ? 'power' : 'process';
    const isOne = random.below(4) > 0;
    if (isOne) this.#victim(random)?.kill(how);
    else for (const member of cluster.members) if (random.below(2) === 0) member.kill(how);
    world.coverage.note('crashes');
  }

  #outage(): void {
    const { world, cluster } = this.#parts;
    for (const member of cluster.members) member.kill('power');
    world.coverage.note('outages');
  }

  #restart(random: Random): void {
    const victim = this.#victim(random);
    if (victim === undefined) return;
    this.#parts.world.coverage.note('restarts');
    victim
      .stop()
      .catch(() => {
        // It was killed before it had stopped.
      })
      .finally(() => {
        // Who stops after the last fault has nobody left to start it.
        if (!this.#isOn) victim.start();
      });
  }

  #pause(random: Random): void {
    const { world } = this.#parts;
    const victim = this.#victim(random);
    if (victim?.process === undefined) return;
    victim.process.pausedUntilMs = world.kernel.nowMs + 100 + random.next() ** 2 * 10_000;
    world.coverage.note('pauses');
    world.trace.note('pause', victim.id);
  }

  #stall(random: Random): void {
    const { world } = this.#parts;
    const victim = this.#victim(random);
    if (victim === undefined) return;
    victim.hardware.stalledUntilMs = world.kernel.nowMs + 100 + random.next() ** 2 * 5000;
    world.coverage.note('stalls');
    world.trace.note('stall', victim.id);
  }

  /** A disk is lost, or rots while the member is down. Its machine may come back with an empty one. */
  #wipe(random: Random): void {
    const { world, operator, cluster } = this.#parts;
    const victim = this.#victim(random);
    if (victim === undefined || !operator.mayWipe(victim)) return;
    const rots = random.below(3) === 0;
    const backMs = random.below(3) > 0 ? 100 + random.next() ** 2 * 4000 : undefined;
    if (rots) {
      victim.kill('power');
      victim.rots = true;
      return;
    }
    world.trace.note('wipe', victim.id);
    victim.wipe();
    world.coverage.note('wipes');
    if (backMs === undefined) return;
    world.kernel.after(backMs, undefined, () => {
      void cluster.restart(victim);
    });
  }
}
