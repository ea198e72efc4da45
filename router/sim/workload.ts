// Clients: each sends one command after the other and repeats one, under the same number, until it is answered. What
// they are told is compared with the log: a read is linearizable when it saw everything answered before it was asked.

import { isEtlError, type Random } from '@etl-router/core';
import { type Command, decodeAnswer, encodeCommand } from './machine.ts';
import type { Member, World } from './member.ts';
import { check, Violation } from './violation.ts';

export interface WorkloadParts {
  readonly world: World;
  readonly random: Random;
  /** Those there are now. */
  readonly members: () => readonly Member[];
}

export class Workload {
  readonly #parts: WorkloadParts;
  /** The highest index that any client was told of. */
  #floor = 0;
  #busy = 0;
  #isEnding = false;
  #value = 0;

  constructor(parts: WorkloadParts) {
    this.#parts = parts;
  }

  /** Clients that wait for an answer. */
  get busy(): number {
    return this.#busy;
  }

  start(): void {
    const { world } = this.#parts;
    for (let client = 1; client <= world.profile.clients; client++) {
      this.#busy++;
      this.#serve(client).catch((error: unknown) => {
        world.violated(
          error instanceof Violation ? error : new Violation(`client: ${(error as Error).stack}`),
        );
      });
    }
  }

  /** Every client ends with one more write and one more read. */
  end(): void {
    this.#isEnding = true;
  }

  async #serve(client: number): Promise<void> {
    const { world, random } = this.#parts;
    const { profile } = world;
    let sequence = 0;
    while (!this.#isEnding) {
      await this.pause(random.next() * 2 * profile.thinkMs);
      if (random.next() < profile.readShare) await this.#read();
      else await this.#write(client, ++sequence);
    }
    await this.#write(client, ++sequence);
    await this.#read();
    this.#busy--;
  }

  async #write(client: number, sequence: number): Promise<void> {
    const { world, random } = this.#parts;
    const { profile, truth, coverage } = world;
    const key = random.below(profile.keys);
    const isSwap = random.below(3) === 0;
    const command: Command = {
      ...{ client, sequence, key },
      kind: isSwap ? 'swap' : 'write',
      value: ++this.#value,
      expected: isSwap ? truth.valueAt(key, this.#floor) : 0,
    };
    const bytes = encodeCommand(command, profile.paddingBytes);
    const floor = this.#floor;
    const { member, value: answered } = await this.#insist((member, signal) => {
      return member.propose(bytes, signal);
    });
    const { index, result } = answered;
    const answer = decodeAnswer(result);
    truth.answered(member.id, index, result);
    const effect = truth.effectOf(command);
    check(
      answer.client === client && answer.sequence === sequence,
      () =>
        `client ${client} is given the answer to command ${answer.sequence} of ${answer.client}`,
    );
    check(
      effect !== undefined && effect > floor && effect <= index,
      () => `command ${sequence} of client ${client} took effect at ${effect}, after ${floor}`,
    );
    if (effect !== index) coverage.repeats++;
    coverage.writes++;
    this.#floor = Math.max(this.#floor, index);
    world.trace.note('wrote', client, sequence, index);
  }

  async #read(): Promise<void> {
    const { world, random } = this.#parts;
    const { profile, truth, coverage, trace } = world;
    const key = random.below(profile.keys);
    const { member, value: seen } = await this.#insist(async (member, signal) => {
      // I15, also of every attempt.
      const floor = this.#floor;
      const read = await member.read(key, signal);
      check(
        read.index >= floor,
        () =>
          `member ${member.id} reads as of entry ${read.index}, entry ${floor} was answered before`,
      );
      return read;
    });
    const expected = truth.valueAt(key, seen.index);
    check(
      seen.value === expected,
      () =>
        `member ${member.id} reads ${seen.value} of register ${key} as of entry ${seen.index}, not ${expected}`,
    );
    coverage.reads++;
    this.#floor = Math.max(this.#floor, seen.index);
    trace.note('read', key, seen.value, seen.index);
  }

  /** Asks one member after the other until one answers. */
  async #insist<Value>(
    ask: (member: Member, signal: AbortSignal) => Promise<Value>,
  ): Promise<{ readonly member: Member; readonly value: Value }> {
    const { random, members, world } = this.#parts;
    let hint: number | undefined;
    for (;;) {
      const up = members().filter(({ isUp }) => isUp);
      const member = up.find(({ id }) => id === hint) ?? up[random.below(Math.max(1, up.length))];
      if (member !== undefined) {
        const patience = new AbortController();
        const cancel = world.kernel.after(500 + random.below(3000), undefined, () =>
          patience.abort(),
        );
        try {
          return { member, value: await ask(member, patience.signal) };
        } catch (error) {
          if (error instanceof Violation) throw error;
          if ((error as Error).name === 'AssertionFailure') throw error;
          world.trace.note(`asked ${member.id}: ${(error as Error).message}`);
          const leader = isEtlError(error) ? error.details?.['leader'] : undefined;
          hint = typeof leader === 'number' ? leader : undefined;
        } finally {
          cancel();
        }
      }
      await this.pause(hint === undefined ? 20 + random.below(200) : 1);
    }
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.world.kernel.after(ms, undefined, resolve);
    });
  }
}
