// The clients of a run: they create, change, delete and read a few objects as fast as they were told, follow the hints
// of members that do not lead, and take down what they asked and were told. What is not answered stays open in the
// history, unless it has a request id: then it is asked again, and is one operation.

import { setTimeout as pause } from 'node:timers/promises';
import { type EtlError, type Random, seededRandom, toEtlError } from '@etl-router/core';
import { errorCodeKey } from '@etl-router/proto/grpc';
import type { ServiceError } from '@grpc/grpc-js';
import type { Operations } from '../linearizability/operations.ts';
import { HistoryRecorder, type Invocation } from '../linearizability/recorder.ts';
import type { Admin, Member } from './member.ts';

export const kind = 'EtlSource';
export const namespace = 'default';

export interface WorkloadOptions {
  readonly seed: number;
  readonly clients: number;
  readonly keys: number;
  /** Of each client, while it is answered. */
  readonly operationsPerSecond: number;
  /** Whom to ask; read anew for every attempt. */
  readonly members: () => readonly Member[];
}

type WriteName = 'create' | 'update' | 'delete';

/** A write that was answered with success. */
export interface AnsweredWrite {
  /** When the attempt that was answered was sent, and when its answer came. */
  readonly sentMs: number;
  readonly answeredMs: number;
}

const attemptMaxMs = 1500;
const operationMaxMs = 5000;
/** For each of the last operations, on a cluster that is well. */
const lastMaxMs = 10_000;
/** A request id is remembered among the cluster's latest 1,000; a repeat has to come well before. */
const repeatMaxRequests = 800;

export class Workload {
  readonly recorder: HistoryRecorder;
  /** In the order of their answers. */
  readonly answered: AnsweredWrite[] = [];
  readonly options: WorkloadOptions;
  #requests = 0;
  readonly #startMs = performance.now();
  readonly #clients: readonly Client[];
  readonly #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #values = 0;

  constructor(options: WorkloadOptions) {
    this.options = options;
    this.recorder = new HistoryRecorder(() => (performance.now() - this.#startMs) * 1e6);
    this.#clients = Array.from({ length: options.clients }, (_, at) => new Client(this, at + 1));
  }

  start(): void {
    this.#running = Promise.all(this.#clients.map((client) => client.run(this.#stop.signal)));
  }

  /** Resolves when every client has its last answer, or gave up waiting for it. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** Operations that were answered so far, whatever the answer. */
  done = 0;

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

  /** Writes every key once more, whichever member takes it. */
  async writeAll(): Promise<void> {
    const writer = 0;
    let turn = 0;
    for (const name of keyNames(this.options.keys)) {
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

export function keyNames(keys: number): readonly string[] {
  return Array.from({ length: keys }, (_, at) => `k${at}`);
}

export function fullName(name: string): string {
  return `${kind}/${namespace}/${name}`;
}

interface Request {
  readonly op: WriteName | 'get';
  readonly name: string;
  readonly spec: string;
  readonly ifVersion: number | undefined;
  readonly requestId: string;
}

/** `refused`: certainly not done. `unknown`: done now, later or never. */
type Fate = 'refused' | 'unknown';

class Client {
  readonly #workload: Workload;
  readonly #number: number;
  readonly #random: Random;
  /** Versions as this client last saw them. */
  readonly #versions = new Map<string, number>();
  #target = 0;
  #requests = 0;

  constructor(workload: Workload, number: number) {
    this.#workload = workload;
    this.#number = number;
    this.#random = seededRandom(workload.options.seed * 1000 + number);
    this.#target = number;
  }

  async run(signal: AbortSignal): Promise<void> {
    const periodMs = 1000 / this.#workload.options.operationsPerSecond;
    while (!signal.aborted) {
      const startMs = performance.now();
      await this.#operate(this.#draw());
      const leftMs = startMs + periodMs * (0.5 + this.#random.next()) - performance.now();
      await pause(Math.max(leftMs, 0));
    }
  }

  #draw(): Request {
    const { keys } = this.#workload.options;
    const name = `k${this.#random.below(keys)}`;
    const chance = this.#random.next();
    const op = chance < 0.35 ? 'get' : chance < 0.5 ? 'create' : chance < 0.9 ? 'update' : 'delete';
    const seen = this.#versions.get(name) ?? 0;
    const ifVersion = op !== 'create' && seen > 0 && this.#random.next() < 0.4 ? seen : undefined;
    const hasId = op !== 'get' && this.#random.next() < 0.3;
    const requestId = hasId
      ? `${this.#workload.options.seed}-${this.#number}-${++this.#requests}`
      : '';
    return { op, name, spec: this.#workload.nextSpec(this.#number), ifVersion, requestId };
  }

  async #operate(request: Request): Promise<void> {
    const invocation = this.#invoke(request);
    const issued = request.requestId === '' ? 0 : this.#workload.countRequest();
    const endMs = performance.now() + operationMaxMs;
    let isOpen = false;
    for (;;) {
      const sentMs = performance.now();
      let failure: EtlError;
      try {
        const out = await this.#attempt(request);
        invocation.answered(out);
        this.#workload.done += 1;
        this.#note(request, out, sentMs);
        return;
      } catch (error) {
        failure = toEtlError(error);
      }
      const fate = request.op === 'get' ? 'refused' : fateOf(failure);
      this.#follow(failure);
      const isOver = performance.now() > endMs;
      if (fate === 'unknown') {
        if (request.requestId === '' || isOver || !this.#workload.mayRepeat(issued)) return;
        isOpen = true;
      } else if (isOver || (isOpen && !this.#workload.mayRepeat(issued))) {
        if (!isOpen) invocation.answered({ error: 'refused' });
        return;
      }
      await pause(10 + this.#random.below(20));
    }
  }

  #invoke({ op, name, spec, ifVersion }: Request): Invocation<WriteName | 'get'> {
    const { recorder } = this.#workload;
    const full = fullName(name);
    const expected = ifVersion === undefined ? {} : { ifVersion };
    switch (op) {
      case 'create':
        return recorder.invoke(this.#number, op, { name: full, spec });
      case 'update':
        return recorder.invoke(this.#number, op, { name: full, spec, ...expected });
      case 'delete':
        return recorder.invoke(this.#number, op, { name: full, ...expected });
      case 'get':
        return recorder.invoke(this.#number, op, { name: full });
    }
  }

  #attempt(request: Request): Promise<Operations['get' | WriteName]['out']> {
    const members = this.#workload.options.members();
    const { admin } = members[this.#target % members.length] as Member;
    switch (request.op) {
      case 'create':
        return put(admin, { ...request, ifVersion: 0 }, attemptMaxMs);
      case 'update':
        return put(admin, request, attemptMaxMs);
      case 'delete':
        return remove(admin, request, attemptMaxMs);
      case 'get':
        return get(admin, request.name, attemptMaxMs);
    }
  }

  #note({ op, name }: Request, out: Operations['get' | WriteName]['out'], sentMs: number): void {
    if ('version' in out) this.#versions.set(name, out.version);
    else this.#versions.delete(name);
    if (op !== 'get' && out.error === undefined)
      this.#workload.answered.push({ sentMs, answeredMs: performance.now() });
  }

  /** The member that is said to lead, or else the next one. */
  #follow(failure: EtlError): void {
    const members = this.#workload.options.members();
    const hint = failure.code === 'ETL_NOT_LEADER' ? failure.details['leaderName'] : undefined;
    const hinted = members.findIndex(({ name }) => name === hint);
    this.#target = hinted >= 0 ? hinted : this.#target + 1;
  }
}

/** What became of a write that failed. Nothing is taken for certain but what the member itself said. */
function fateOf(failure: EtlError): Fate {
  const { code, details } = failure;
  if (details['outcome'] !== undefined)
    return details['outcome'] === 'refused' ? 'refused' : 'unknown';
  const cause = failure.cause as Partial<ServiceError> | undefined;
  const isSaid = cause?.metadata?.get(errorCodeKey)[0] !== undefined;
  if (isSaid)
    return code === 'ETL_NOT_LEADER' || code === 'ETL_LIMIT_EXCEEDED' ? 'refused' : 'unknown';
  return failure.message.includes('ECONNREFUSED') ? 'refused' : 'unknown';
}

interface Put {
  readonly name: string;
  readonly spec: string;
  readonly ifVersion?: number | undefined;
  readonly requestId?: string;
}

async function put(
  admin: Admin,
  { name, spec, ifVersion, requestId = '' }: Put,
  deadlineMs: number,
): Promise<Operations['update']['out']> {
  const manifest = JSON.stringify({
    apiVersion: 'etl.router/v1',
    kind,
    metadata: { name, namespace, labels: { spec } },
    spec: { file: { path: 'in.jsonl', format: 'jsonl' } },
  });
  const expected = ifVersion === undefined ? {} : { expectedVersion: BigInt(ifVersion) };
  try {
    const answer = await admin.applyObject({ manifest, requestId, ...expected }, { deadlineMs });
    return { version: Number(answer.object?.resourceVersion ?? 0n), changed: answer.changed };
  } catch (error) {
    return conflictOf(error);
  }
}

async function remove(
  admin: Admin,
  { name, ifVersion, requestId }: Request,
  deadlineMs: number,
): Promise<Operations['delete']['out']> {
  const expected = ifVersion === undefined ? {} : { expectedVersion: BigInt(ifVersion) };
  const request = { name: { kind, namespace, name }, requestId, ...expected };
  try {
    await admin.deleteObject(request, { deadlineMs });
    return {};
  } catch (error) {
    if (isSaidNotFound(error)) return { error: 'notFound' };
    return conflictOf(error);
  }
}

async function get(
  admin: Admin,
  name: string,
  deadlineMs: number,
): Promise<Operations['get']['out']> {
  try {
    const { object } = await admin.getObject({ name: { kind, namespace, name } }, { deadlineMs });
    const version = Number(object?.resourceVersion ?? 0n);
    return { version, spec: object?.labels['spec'] ?? '' };
  } catch (error) {
    if (isSaidNotFound(error)) return { error: 'notFound' };
    throw error;
  }
}

function isSaidNotFound(error: unknown): boolean {
  return toEtlError(error).code === 'ETL_NOT_FOUND';
}

/** The version that was found, of a write that expected another. */
function conflictOf(error: unknown): { readonly error: 'conflict'; readonly version: number } {
  const { code, details } = toEtlError(error);
  if (code !== 'ETL_CONFLICT' || details['found'] === undefined) throw error;
  return { error: 'conflict', version: Number(details['found']) };
}
