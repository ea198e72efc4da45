// One client of a run: it creates, changes, deletes and reads a few objects, follows the hints of members that do not
// lead, and takes down what it asked and was told. What is not answered stays open in the history, unless it has a
// request id: then it is asked again, and is one operation. Some requests are sent twice at once, to two members.

import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type EtlError, type Random, seededRandom, toEtlError } from '@etl-router/core';
import type { Operations } from '../linearizability/operations.ts';
import type { Invocation } from '../linearizability/recorder.ts';
import type { Member } from './member.ts';
import { fateOf, fullName, get, put, putOverHttp, remove } from './requests.ts';
import type { Workload } from './workload.ts';

/** How long a client waits for one answer. */
export const attemptMaxMs = 1500;
const operationMaxMs = 5000;
/** Share of the writes that are sent twice. */
const doubledShare = 0.1;

type WriteName = 'create' | 'update' | 'delete';
type WriteOut = Operations[WriteName]['out'];

interface Request {
  readonly op: WriteName | 'get';
  readonly name: string;
  readonly spec: string;
  readonly ifVersion: number | undefined;
  readonly requestId: string;
}

export class ObjectClient {
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
      const request = this.#draw();
      const isDoubled = request.op !== 'get' && this.#random.next() < doubledShare;
      await (isDoubled ? this.#operateTwice(request) : this.#operate(request));
      const leftMs = startMs + periodMs * (0.5 + this.#random.next()) - performance.now();
      await pause(Math.max(leftMs, 0));
    }
  }

  #draw(): Request {
    const { keys } = this.#workload.options;
    const name = this.#workload.keyNames[this.#random.below(keys)] as string;
    const chance = this.#random.next();
    const op = chance < 0.35 ? 'get' : chance < 0.5 ? 'create' : chance < 0.9 ? 'update' : 'delete';
    const seen = this.#versions.get(name) ?? 0;
    const ifVersion = op !== 'create' && seen > 0 && this.#random.next() < 0.4 ? seen : undefined;
    const hasId = op !== 'get' && this.#random.next() < 0.3;
    const requestId = hasId ? this.#nextRequestId() : '';
    return { op, name, spec: this.#workload.nextSpec(this.#number), ifVersion, requestId };
  }

  #nextRequestId(): string {
    this.#requests += 1;
    return `${this.#workload.options.seed}-${this.#number}-${this.#requests}`;
  }

  /**
   * Sends one request, under one id, to two members at once, until both answered it: they must say the same, and the
   * history must bear that it was done once.
   */
  async #operateTwice({ op, ...drawn }: Request): Promise<void> {
    const overHttp = this.#random.next() < 0.5;
    const request: Request = {
      ...{ ...drawn, op: overHttp ? 'update' : op, requestId: this.#nextRequestId() },
      ...(overHttp && { ifVersion: undefined }),
    };
    const members = this.#workload.options.members();
    const invocation = this.#invoke(request);
    const issued = this.#workload.countRequest();
    const endMs = performance.now() + operationMaxMs;
    const ask = async (at: number): Promise<WriteOut | undefined> => {
      for (let target = at; ; target++) {
        const member = members[target % members.length] as Member;
        try {
          if (!overHttp) return (await this.#attempt(request, member)) as WriteOut;
          return await putOverHttp(member, request, attemptMaxMs);
        } catch {
          if (performance.now() > endMs || !this.#workload.mayRepeat(issued)) return undefined;
        }
        await pause(10 + this.#random.below(20));
      }
    };
    const sentMs = performance.now();
    const [first, second] = await Promise.all([ask(this.#target), ask(this.#target + 1)]);
    const out = first ?? second;
    if (out === undefined) return;
    if (first !== undefined && second !== undefined && !isDeepStrictEqual(first, second))
      this.#workload.problems.push(
        `request ${request.requestId} was sent twice and answered with ${JSON.stringify(first)} and ${JSON.stringify(second)}`,
      );
    invocation.answered(out);
    if (first !== undefined && second !== undefined) this.#workload.doubled += 1;
    this.#workload.done += 1;
    this.#note(request, out, sentMs);
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
        const members = this.#workload.options.members();
        const out = await this.#attempt(request, members[this.#target % members.length] as Member);
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

  #attempt(request: Request, { admin }: Member): Promise<Operations['get' | WriteName]['out']> {
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
