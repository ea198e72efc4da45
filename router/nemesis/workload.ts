// The clients of a run and what they have in common: the history, the keys, and the writes that were answered. Clients
// of objects work beside clients of lanes.

import { setTimeout as pause } from 'node:timers/promises';
import type { Operations } from '../linearizability/operations.ts';
import { HistoryRecorder } from '../linearizability/recorder.ts';
import { LaneClients, laneName, readLane } from './lane-clients.ts';
import type { Member } from './member.ts';
import { attemptMaxMs, ObjectClient } from './object-client.ts';
import { fullName, get, put } from './requests.ts';

export interface WorkloadOptions {
  readonly seed: number;
  readonly clients: number;
  readonly keys: number;
  readonly lanes: number;
  /** Of each client, while it is answered. */
  readonly operationsPerSecond: number;
  /** Whom to ask; read anew for every attempt. */
  readonly members: () => readonly Member[];
}

/** A write that was answered with success. */
export interface AnsweredWrite {
  /** When the attempt that was answered was sent, and when its answer came. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

/** Client numbers of writes through one member, between those of the clients and of the last reads. */
const probeClient = 500;
/** A process that was loaded a moment ago is slow on a busy machine; this is what clients are told to wait. */
const probeAttemptMaxMs = 5000;
/** For each of the last operations, on a cluster that is well. */
const lastMaxMs = 30_000;
/** A request id is remembered among the cluster's latest 1,000; a repeat has to come well before. */
const repeatMaxRequests = 800;

export class Workload {
  readonly recorder: HistoryRecorder;
  /** In the order of their answers. */
  readonly answered: AnsweredWrite[] = [];
  readonly options: WorkloadOptions;
  #requests = 0;
  readonly #startMs = performance.now();
  readonly #clients: readonly ObjectClient[];
  readonly #lanes: LaneClients;
  #stop = new AbortController();
  #era = 0;
  #running: Promise<unknown> = Promise.resolve();
  #values = 0;

  constructor(options: WorkloadOptions) {
    this.options = options;
    this.recorder = new HistoryRecorder(() => (performance.now() - this.#startMs) * 1e6);
    this.#clients = Array.from(
      { length: options.clients },
      (_, at) => new ObjectClient(this, at + 1),
    );
    this.#lanes = new LaneClients(this);
  }

  /** Makes what the clients need; to be called on a cluster that is well. */
  async prepare(): Promise<void> {
    await this.#lanes.prepare();
  }

  start(): void {
    this.#stop = new AbortController();
    this.#running = Promise.all([
      ...this.#clients.map((client) => client.run(this.#stop.signal)),
      this.#lanes.run(this.#stop.signal),
    ]);
  }

  /** Resolves when every client has its last answer, or gave up waiting for it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Uses other keys and lanes from now on, which nobody ever wrote. To be called while the clients stand still. */
  beginEra(): void {
    this.#era += 1;
  }

  /** Operations that were answered so far, whatever the answer. */
  done = 0;

  /** Requests that were sent to two members at once and answered by both. */
  doubled = 0;

  /** What clients were told that can not be, apart from what the history shows. */
  readonly problems: string[] = [];

  get laneNames(): readonly string[] {
    return Array.from({ length: this.options.lanes }, (_, at) => laneName(`p${at}${this.#suffix}`));
  }

  get keyNames(): readonly string[] {
    return Array.from({ length: this.options.keys }, (_, at) => `k${at}${this.#suffix}`);
  }

  get #suffix(): string {
    return this.#era === 0 ? '' : `-${this.#era}`;
  }

  /** A spec that was never written before. */
  nextSpec(client: number): string {
    this.#values += 1;
    return `c${client}-${this.#values}`;
  }

  countRequest(): number {
    this.#requests += 1;
    return this.#requests;
  }

  mayRepeat(request: number): boolean {
    return this.#requests - request < repeatMaxRequests;
  }

  /** Resolves with the first write that was sent after that moment and answered. */
  async writtenAfter(momentMs: number, maxMs: number): Promise<AnsweredWrite> {
    const endMs = performance.now() + maxMs;
    let next = 0;
    for (;;) {
      for (; next < this.answered.length; next++) {
        const write = this.answered[next] as AnsweredWrite;
        if (write.sentMs >= momentMs) return write;
      }
      if (performance.now() > endMs) throw new Error(`no write was answered for ${maxMs} ms`);
      await pause(2);
    }
  }

  /** The longest time without an answered write that begins or ends between two moments. */
  longestGapMs(fromMs: number, toMs: number): number {
    let longest = 0;
    let before = Number.POSITIVE_INFINITY;
    for (const { answeredMs } of this.answered) {
      if (answeredMs > fromMs && before < toMs) longest = Math.max(longest, answeredMs - before);
      before = answeredMs;
    }
    return longest;
  }

  /** Reads a key from one member, as a client with that number, until it is answered. */
  async readFrom(client: number, member: Member, name: string): Promise<Operations['get']['out']> {
    return await this.#insist(async () => {
      const invocation = this.recorder.invoke(client, 'get', { name: fullName(name) });
      const out = await get(member.admin, name, attemptMaxMs);
      invocation.answered(out);
      return out;
    });
  }

  /** Writes through one member until it is answered, and resolves with when that was. */
  async writeThrough(member: Member, endMs: number): Promise<number> {
    const writer = probeClient + member.number;
    const name = this.keyNames[member.number % this.options.keys] as string;
    const spec = this.nextSpec(writer);
    const invocation = this.recorder.invoke(writer, 'update', { name: fullName(name), spec });
    const requestId = `${this.options.seed}-${writer}-${this.countRequest()}`;
    for (;;) {
      try {
        const request = { name, spec, requestId };
        invocation.answered(await put(member.admin, request, probeAttemptMaxMs));
        return performance.now();
      } catch (error) {
        if (performance.now() < endMs) await pause(10);
        else throw new Error(`member ${member.name} did not write in time: ${String(error)}`);
      }
    }
  }

  /** Reads a lane from one member, until it is answered. */
  async readLaneFrom(
    client: number,
    member: Member,
    lane: string,
  ): Promise<Operations['getLane']['out']> {
    return await this.#insist(async () => {
      const invocation = this.recorder.invoke(client, 'getLane', { lane });
      const out = await readLane(member, lane);
      invocation.answered(out);
      return out;
    });
  }

  /** Writes every key once more, whichever member takes it. */
  async writeAll(): Promise<void> {
    const writer = 0;
    let turn = 0;
    for (const name of this.keyNames) {
      await this.#insist(async () => {
        const members = this.options.members();
        const { admin } = members[turn++ % members.length] as Member;
        const input = { name: fullName(name), spec: this.nextSpec(writer) };
        const invocation = this.recorder.invoke(writer, 'update', input);
        invocation.answered(await put(admin, { name, spec: input.spec }, attemptMaxMs));
      });
    }
  }

  /** Tries again; what was not answered stays open in the history. */
  async #insist<Result>(work: () => Promise<Result>): Promise<Result> {
    const endMs = performance.now() + lastMaxMs;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (performance.now() > endMs) throw error;
        await pause(50);
      }
    }
  }
}
