// Remembers what an authority said, so that not every call costs two more: a yes for a minute, a no for some seconds.
// Tokens are remembered by their digest only. Who asks the same at once is answered by one question, and a flood of
// tokens that nobody knows costs neither what is known of others nor more than some questions at a time.

import { createHash } from 'node:crypto';
import { type Clock, EtlError } from '@etl-router/core';
import type { Authority, Caller, Verb } from './access.ts';

/** How long an answer counts, in milliseconds: a right that was taken away is gone this much later. */
export const rememberedYesMs = 60_000;
export const rememberedNoMs = 5_000;
/** Answers of a kind that are kept, yes and no apart; the oldest goes first. */
export const rememberedMax = 4096;
/** Questions of a kind that wait for their answers at a time. */
export const questionsMax = 64;

interface Remembered<Value> {
  readonly untilMs: number;
  readonly value: Value;
}

export class CachedAuthority implements Authority {
  readonly #authority: Authority;
  readonly #callers: Memory<Caller | undefined>;
  readonly #rights: Memory<boolean>;

  constructor(authority: Authority, clock: Clock) {
    this.#authority = authority;
    this.#callers = new Memory(clock, (caller) => caller !== undefined);
    this.#rights = new Memory(clock, (isAllowed) => isAllowed);
  }

  authenticate(token: string): Promise<Caller | undefined> {
    const digest = createHash('sha256').update(token).digest('base64');
    return this.#callers.get(digest, () => this.#authority.authenticate(token));
  }

  allows(caller: Caller, verb: Verb): Promise<boolean> {
    const { name, uid, groups, extra } = caller;
    const key = JSON.stringify([verb, name, uid, groups, extra]);
    return this.#rights.get(key, () => this.#authority.allows(caller, verb));
  }
}

class Memory<Value> {
  readonly #clock: Clock;
  readonly #isYes: (value: Value) => boolean;
  readonly #yes = new Map<string, Remembered<Value>>();
  readonly #no = new Map<string, Remembered<Value>>();
  readonly #asked = new Map<string, Promise<Value>>();

  constructor(clock: Clock, isYes: (value: Value) => boolean) {
    this.#clock = clock;
    this.#isYes = isYes;
  }

  /** What is known of the key, or what is found out. A failure is not remembered. */
  async get(key: string, find: () => Promise<Value>): Promise<Value> {
    const known = this.#yes.get(key) ?? this.#no.get(key);
    if (known !== undefined && this.#clock.monotonicMs() < known.untilMs) return known.value;
    const asked = this.#asked.get(key) ?? this.#ask(key, find);
    return await asked;
  }

  #ask(key: string, find: () => Promise<Value>): Promise<Value> {
    if (this.#asked.size >= questionsMax) {
      throw new EtlError(
        'ETL_UNAVAILABLE',
        `${questionsMax} questions who may do something wait for their answers already`,
        { retryable: true },
      );
    }
    const answer = find()
      .then((value) => {
        this.#remember(key, value);
        return value;
      })
      .finally(() => this.#asked.delete(key));
    this.#asked.set(key, answer);
    return answer;
  }

  #remember(key: string, value: Value): void {
    const isYes = this.#isYes(value);
    const [memory, other] = isYes ? [this.#yes, this.#no] : [this.#no, this.#yes];
    const forMs = isYes ? rememberedYesMs : rememberedNoMs;
    other.delete(key);
    memory.delete(key);
    memory.set(key, { value, untilMs: this.#clock.monotonicMs() + forMs });
    if (memory.size <= rememberedMax) return;
    const [oldest] = memory.keys();
    if (oldest !== undefined) memory.delete(oldest);
  }
}
