// Histories that are linearizable because of how they are made: clients call, the system answers at a moment between
// call and return, and some never learn what came of it: their answer was lost, or a crash took all answers under way.

import { type Random, seededRandom } from '@etl-router/core';
import type { Request } from './answers.ts';
import type { Operation } from './operations.ts';
import { ReferenceSystem } from './reference-system.ts';

/** What a history is about: one model each, or all of them. */
export type Subject = 'objects' | 'lanes' | 'groups' | 'registers';

export interface GenerateOptions {
  readonly seed: number;
  readonly subject: Subject;
  readonly clients: number;
  readonly operations: number;
  /** Keys of the subject. */
  readonly keys: number;
  /** Chance that an operation's outcome is not known. */
  readonly unknown: number;
  /** Nanoseconds between moments at which whatever is under way loses its answer, on average; 0: never. */
  readonly crashNs: number;
}

/** The options of one history of a set: each is of another size, subject and wildness. */
export function drawOptions(seed: number): GenerateOptions {
  const random = seededRandom(seed);
  const one = <Value>(values: readonly Value[]): Value =>
    values[random.below(values.length)] as Value;
  return {
    seed,
    subject: one<Subject>(['objects', 'objects', 'lanes', 'groups', 'registers']),
    clients: one([2, 3, 5, 8]),
    operations: one([10, 30, 60, 120]),
    keys: one([1, 1, 2, 3]),
    unknown: one([0, 0.03, 0.1]),
    crashNs: one([0, 0, 2000, 6000]),
  };
}

export function generateHistory(options: GenerateOptions): readonly Operation[] {
  return new Generator(options).run();
}

/** What happens at a moment of the execution. */
interface Moment {
  readonly atNs: number;
  readonly run: () => void;
}

class Generator {
  readonly #options: GenerateOptions;
  readonly #random: Random;
  readonly #system = new ReferenceSystem();
  readonly #moments: Moment[] = [];
  readonly #history: Operation[] = [];
  #ids = 0;
  #nextCrashNs = Number.POSITIVE_INFINITY;

  constructor(options: GenerateOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed * 7 + 3);
    if (options.crashNs > 0) this.#nextCrashNs = 0;
  }

  run(): readonly Operation[] {
    for (let client = 1; client <= this.#options.clients; client++) {
      this.#at(this.#random.below(100), (nowNs) => this.#call(client, nowNs));
    }
    for (let moment = this.#moments.shift(); moment !== undefined; moment = this.#moments.shift()) {
      moment.run();
    }
    return this.#history.toSorted((a, b) => a.callNs - b.callNs || a.id - b.id);
  }

  /** A client asks, and goes on when it was answered or gave up. */
  #call(client: number, nowNs: number): void {
    if (this.#ids >= this.#options.operations) return;
    const random = this.#random;
    const id = ++this.#ids;
    const request = this.#draw();
    const durationNs = 1 + random.below(random.next() < 0.1 ? 3000 : 300);
    const endNs = nowNs + durationNs;
    const asked = { client, id, callNs: nowNs, ...request };
    const doneNs = nowNs + random.below(durationNs + 1);
    const crashNs = this.#crashAfter(nowNs);
    if (crashNs < endNs) {
      this.#history.push({ ...asked, returnNs: null, out: null } as Operation);
      if (doneNs < crashNs) this.#at(doneNs, () => this.#system.answer(request));
    } else if (random.next() < this.#options.unknown) {
      this.#history.push({ ...asked, returnNs: null, out: null } as Operation);
      if (random.next() < 0.5) {
        this.#at(nowNs + random.below(20 * durationNs), () => this.#system.answer(request));
      }
    } else if (random.next() < 0.03) {
      this.#history.push({ ...asked, returnNs: endNs, out: { error: 'refused' } } as Operation);
    } else {
      this.#at(doneNs, () => {
        const out = this.#system.answer(request);
        this.#history.push({ ...asked, returnNs: endNs, out } as Operation);
      });
    }
    if (random.next() < 0.05) this.#at(endNs, () => this.#system.rebalance());
    this.#at(endNs + random.below(200), (nextNs) => this.#call(client, nextNs));
  }

  /** The first crash from `nowNs` on; clients call in the order of time. */
  #crashAfter(nowNs: number): number {
    const { crashNs } = this.#options;
    while (this.#nextCrashNs < nowNs) this.#nextCrashNs += 1 + this.#random.below(2 * crashNs);
    return this.#nextCrashNs;
  }

  #at(atNs: number, run: (nowNs: number) => void): void {
    let place = this.#moments.length;
    while (place > 0 && (this.#moments[place - 1] as Moment).atNs > atNs) place--;
    this.#moments.splice(place, 0, { atNs, run: () => run(atNs) });
  }

  #draw(): Request {
    const { subject, keys } = this.#options;
    const key = this.#random.below(keys);
    switch (subject) {
      case 'objects':
        return this.#drawObject(`EtlSource/default/object-${key}`);
      case 'lanes':
        return this.#drawLane(`default/orders/input/${key}`);
      case 'groups':
        return this.#drawGroup(`readers/input/orders/${key}`);
      case 'registers':
        return this.#drawRegister(key);
    }
  }

  #drawObject(name: string): Request {
    const random = this.#random;
    const spec = `s${random.below(6)}`;
    const version = this.#system.versionOf(name);
    switch (random.below(8)) {
      case 0:
        return { op: 'create', in: { name, spec } };
      case 1:
        return { op: 'update', in: { name, spec } };
      case 2:
      case 3:
        return { op: 'update', in: { name, spec, ifVersion: version } };
      case 4:
        return random.below(2) === 0
          ? { op: 'delete', in: { name } }
          : { op: 'delete', in: { name, ifVersion: version } };
      case 5:
        return { op: 'getStale', in: { name } };
      default:
        return { op: 'get', in: { name } };
    }
  }

  #drawLane(lane: string): Request {
    const random = this.#random;
    const epoch = this.#system.epochOf(lane);
    switch (random.below(6)) {
      case 0:
        return { op: 'acquireEpoch', in: { lane } };
      case 1:
      case 2:
        return { op: 'getLane', in: { lane } };
      case 3:
        return { op: 'commitPosition', in: { lane, epoch: epoch + 1, position: this.#position() } };
      default:
        return { op: 'commitPosition', in: { lane, epoch, position: this.#position() } };
    }
  }

  #drawGroup(partition: string): Request {
    if (this.#random.below(3) === 0) return { op: 'getGroupPosition', in: { partition } };
    const { generation } = this.#system;
    return { op: 'commitGroupPosition', in: { partition, generation, position: this.#position() } };
  }

  #drawRegister(register: number): Request {
    const random = this.#random;
    const value = random.below(8);
    switch (random.below(3)) {
      case 0:
        return { op: 'writeRegister', in: { register, value } };
      case 1:
        return { op: 'swapRegister', in: { register, expected: random.below(8), value } };
      default:
        return { op: 'readRegister', in: { register } };
    }
  }

  /** Mostly ahead of those before. */
  #position(): string {
    const count = Math.max(1, Math.floor(this.#ids + (this.#random.next() - 0.3) * 20));
    return count.toString(16).padStart(4, '0');
  }
}
