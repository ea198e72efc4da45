// Clients of the API: each does one thing after the other and repeats a request, under the same id, until it is
// answered. What they are told is compared with the log: a request has one effect, its answer is that effect's, and a
// read is linearizable when it saw everything answered before it was asked.

import { type EtlError, isEtlError, type Random } from '@etl-router/core';
import type { Cluster } from './cluster.ts';
import { History } from './history.ts';
import type { Member, World } from './member.ts';
import { type ClientState, drawTask, type Question, setUp, type Task } from './tasks.ts';
import type { Effect } from './truth.ts';
import { check, Violation } from './violation.ts';

export interface WorkloadParts {
  readonly world: World;
  readonly random: Random;
  readonly cluster: Cluster;
}

export class Workload {
  /** What clients asked and were told, as far as models know it. */
  readonly history: History;
  readonly #parts: WorkloadParts;
  #busy = 0;
  #writing = 0;
  #isEnding = false;

  constructor(parts: WorkloadParts) {
    this.#parts = parts;
    this.history = new History(() => parts.world.kernel.nowMs);
  }

  /** Clients that wait for an answer. */
  get busy(): number {
    return this.#busy;
  }

  /** Those that wait for the answer to a write. */
  get writing(): number {
    return this.#writing;
  }

  start(): void {
    const { world } = this.#parts;
    for (let number = 1; number <= world.profile.clients; number++) {
      this.#busy++;
      this.#serve(number).catch((error: unknown) => {
        world.violated(
          error instanceof Violation
            ? error
            : new Violation('Process', `client: ${(error as Error).stack}`),
        );
      });
    }
  }

  /** Every client ends with one more write and one more read. */
  end(): void {
    this.#isEnding = true;
  }

  async #serve(number: number): Promise<void> {
    const { world, random } = this.#parts;
    const { profile } = world;
    const client: ClientState = {
      ...{ number, sessionId: undefined, requests: 0 },
      ...{ planVersion: undefined, generation: undefined },
      ...{ versions: new Map(), epochs: new Map() },
    };
    if (number === 1) await this.#setUp();
    while (!this.#isEnding) {
      await this.#pause(random.next() * 2 * profile.thinkMs);
      await this.#do(client, drawTask(client, { profile, random }));
    }
    await this.#do(client, drawTask(client, { profile, random, kind: 'write' }));
    await this.#do(client, drawTask(client, { profile, random, kind: 'read' }));
    this.#busy--;
  }

  async #do(client: ClientState, task: Task): Promise<void> {
    if (task.kind === 'read') return await this.#read(client.number, task.question);
    if (task.hasSession) client.sessionId ??= await this.#openSession(client);
    await this.#write(client, task);
  }

  /** What every run begins with: a pipeline, and a sidecar that may run it. */
  async #setUp(): Promise<void> {
    for (const step of setUp)
      await this.#insist((member, signal) => member.ask((router) => step(router, { signal })));
  }

  async #openSession({ number }: ClientState): Promise<string> {
    const { world } = this.#parts;
    const { value } = await this.#insist((member) =>
      member.ask((router) => router.sessions.open(`c${number}`, world.profile.leaseMs)),
    );
    world.coverage.note('sessions');
    return value.sessionId;
  }

  async #write(client: ClientState, task: Extract<Task, { kind: 'write' }>): Promise<void> {
    const { truth, coverage, trace } = this.#parts.world;
    const { sessionId } = client;
    const isShared = !task.hasSession || sessionId === undefined;
    const requestId = `${client.number}-${++client.requests}`;
    const floor = truth.told;
    const asked = task.asks && this.history.write(client.number, task.asks);
    this.#writing++;
    const { value: told } = await this.#insist(async (member, signal) => {
      const request = { requestId, ...(isShared ? {} : { sessionId }) };
      return await member.ask((router) => answerOf(task.send(router, { request, signal })));
    });
    this.#writing--;
    if (told === 'no session') {
      coverage.note('sessions lost');
      client.sessionId = undefined;
      return;
    }
    const effect = truth.effectOf(isShared ? 'shared' : sessionId, requestId);
    check(
      'Requests',
      effect !== undefined,
      () => `request ${requestId} is answered and has no effect`,
    );
    const { index } = effect;
    check(
      'Requests',
      index > floor,
      () =>
        `request ${requestId} took effect with entry ${index}, entry ${floor} was known before it was made`,
    );
    const expected = tell(task, effect);
    check(
      'Requests',
      told === undefined || told === expected,
      () => `request ${requestId} is answered with ${told}, its effect was ${expected}`,
    );
    truth.told = Math.max(truth.told, index);
    if (told !== undefined) asked?.told(effect.answer);
    task.done?.(effect.answer);
    coverage.note('writes');
    if (told?.startsWith('refused') === true) coverage.note('refusals');
    else if (task.counts !== undefined) coverage.note(task.counts);
    trace.note('wrote', client.number, client.requests, index);
  }

  async #read(client: number, question: Question): Promise<void> {
    const { truth, coverage, trace } = this.#parts.world;
    const { asks, tell } = question.history ?? {};
    const asked = asks && this.history.read(client, asks);
    const { member, value: seen } = await this.#insist(async (member, signal) => {
      // I15, also of every attempt.
      const floor = truth.told;
      const read = await member.read((router) => question.look(router), signal);
      check(
        'Reads',
        read.index >= floor,
        () =>
          `member ${member.id} reads as of entry ${read.index}, entry ${floor} was answered before`,
      );
      return read;
    });
    const expected = question.expect(truth, seen.index);
    check(
      'Reads',
      seen.value === expected,
      () =>
        `member ${member.id} reads ${question.name} as ${seen.value} as of entry ${seen.index}, not as ${expected}`,
    );
    if (tell !== undefined) asked?.told(tell(seen.value));
    coverage.note('reads');
    truth.told = Math.max(truth.told, seen.index);
    trace.note(`read ${question.name}`, seen.index);
  }

  /** Asks one member after the other until one answers. */
  async #insist<Value>(
    ask: (member: Member, signal: AbortSignal) => Promise<Value>,
  ): Promise<{ readonly member: Member; readonly value: Value }> {
    const { random, cluster, world } = this.#parts;
    let hint: number | undefined;
    for (;;) {
      const up = cluster.members.filter(({ isUp }) => isUp);
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
      await this.#pause(hint === undefined ? 20 + random.below(200) : 1);
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.world.kernel.after(ms, undefined, resolve);
    });
  }
}

/** What the state machine answers, as text; whatever says nothing about the request is thrown. */
async function answerOf(answer: Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (!isEtlError(error) || !isRefusal(error)) throw error;
    return error.details['what'] === 'session' ? 'no session' : `refused: ${error.code}`;
  }
}

function isRefusal({ code, details }: EtlError): boolean {
  // What consensus says of a command that was not taken.
  if (details['outcome'] !== undefined || details['leader'] !== undefined) return false;
  return ['ETL_CONFLICT', 'ETL_FENCED', 'ETL_NOT_FOUND', 'ETL_INVALID_ARGUMENT'].includes(code);
}

function tell(task: Extract<Task, { kind: 'write' }>, { answer }: Effect): string {
  const { outcome } = answer;
  return outcome.case === 'refusal' ? `refused: ${outcome.value.code}` : task.tell(answer);
}
