// Whatever can go wrong outside of the process, at the rates of the profile.

import type { Random } from '@etl-router/core';
import type { Member, World } from './member.ts';
import type { Operator } from './operator.ts';

export interface NemesisParts {
  readonly world: World;
  readonly random: Random;
  readonly members: () => readonly Member[];
  readonly operator: Operator;
}

export class Nemesis {
  readonly #parts: NemesisParts;
  readonly #waiting = new Set<Member>();
  #isOn = true;

  constructor(parts: NemesisParts) {
    this.#parts = parts;
  }

  start(): void {
    const { profile } = this.#parts.world;
    this.#every(profile.partitionS, () => this.#partition());
    this.#every(profile.crashS, () => this.#crash());
    this.#every(profile.pauseS, () => this.#pause());
    this.#every(profile.stallS, () => this.#stall());
    this.#every(profile.wipeS, () => this.#wipe());
    this.#every(profile.outageS, () => this.#outage());
    for (const member of this.#parts.members()) member.diskFails = profile.diskErrors > 0;
    this.#restartLater();
  }

  /** Everything works from here on. */
  calm(): void {
    const { world, members } = this.#parts;
    this.#isOn = false;
    world.network.calm();
    for (const member of members()) {
      member.diskFails = false;
      member.stalledUntilMs = 0;
      if (member.process !== undefined) member.process.pausedUntilMs = 0;
      member.start();
    }
  }

  #every(meanS: number, act: () => void): void {
    if (meanS === Number.POSITIVE_INFINITY) return;
    const { world, random } = this.#parts;
    const waitMs = -Math.log(1 - random.next()) * meanS * 1000;
    world.kernel.after(waitMs, undefined, () => {
      if (!this.#isOn) return;
      act();
      this.#every(meanS, act);
    });
  }

  #restartLater(): void {
    const { world, random, members } = this.#parts;
    world.kernel.after(50, undefined, () => {
      if (!this.#isOn) return;
      for (const member of members()) {
        if (member.isUp || this.#waiting.has(member)) continue;
        this.#waiting.add(member);
        const waitMs = random.next() ** 2 * 8000;
        world.kernel.after(waitMs, undefined, () => {
          this.#waiting.delete(member);
          member.diskFails = this.#isOn && world.profile.diskErrors > 0;
          member.start();
        });
      }
      this.#restartLater();
    });
  }

  /** A member that is up; often the leader, because more depends on it. */
  #victim(): Member | undefined {
    const { random, members, operator } = this.#parts;
    const { leader } = operator;
    if (leader !== undefined && random.below(3) === 0) return leader;
    const up = members().filter(({ isUp }) => isUp);
    return up[random.below(Math.max(1, up.length))];
  }

  #partition(): void {
    const { world, random, members } = this.#parts;
    const { network, kernel, coverage, trace } = world;
    const isOneWay = random.below(3) === 0;
    const victim = this.#victim();
    const isolates = random.below(2) === 0;
    const side = new Map(members().map((member) => [member.id, random.below(2)]));
    const sideOf = (id: number): number =>
      isolates ? Number(id === victim?.id) : (side.get(id) ?? 0);
    for (const { id: from } of members()) {
      for (const { id: to } of members()) {
        if (sideOf(from) === sideOf(to) || (isOneWay && sideOf(from) === 0)) continue;
        network.cut(from, to);
      }
    }
    coverage.partitions++;
    trace.note(isOneWay ? 'cut one way' : 'cut', ...members().map(({ id }) => sideOf(id)));
    kernel.after(200 + random.next() ** 2 * 8000, undefined, () => {
      trace.note('heal');
      network.heal();
    });
  }

  #crash(): void {
    const { world, random, members } = this.#parts;
    const how = random.below(3) > 0 ? 'power' : 'process';
    if (random.below(4) > 0) this.#victim()?.kill(how);
    else for (const member of members()) if (random.below(2) === 0) member.kill(how);
    world.coverage.crashes++;
  }

  #outage(): void {
    const { world, members } = this.#parts;
    for (const member of members()) member.kill('power');
    world.coverage.outages++;
  }

  #pause(): void {
    const { world, random } = this.#parts;
    const victim = this.#victim();
    if (victim?.process === undefined) return;
    victim.process.pausedUntilMs = world.kernel.nowMs + 100 + random.next() ** 2 * 10_000;
    world.coverage.pauses++;
    world.trace.note('pause', victim.id);
  }

  #stall(): void {
    const { world, random } = this.#parts;
    const victim = this.#victim();
    if (victim === undefined) return;
    victim.stalledUntilMs = world.kernel.nowMs + 100 + random.next() ** 2 * 5000;
    world.coverage.stalls++;
    world.trace.note('stall', victim.id);
  }

  #wipe(): void {
    const { world, operator, random } = this.#parts;
    const victim = this.#victim();
    if (victim === undefined || !operator.mayWipe(victim)) return;
    if (random.below(3) === 0) {
      victim.kill('power');
      victim.rots = true;
      return;
    }
    world.trace.note('wipe', victim.id);
    victim.wipe();
    world.coverage.wipes++;
  }
}
