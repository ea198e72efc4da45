// Remembers what an authority said, so that not every call costs two more: a yes for a minute, a no for some seconds.
// Whoever comes often is asked about ahead of time and never waits for it. While the authority is away, who was known
// stays known for some minutes and nobody else comes in. Tokens are remembered by their digest only. Who asks the same at
// once is answered by one question, and a flood of tokens that nobody knows costs neither what is known of others nor
// more than some questions at a time.

import { createHash } from 'node:crypto';
import { type Clock, EtlError, isEtlError } from '@etl-router/core';
import type { Authority, Caller, Verb } from './access.ts';

/** How long an answer counts, in milliseconds: a right that was taken away is gone this much later. */
export const rememberedYesMs = 60_000;
export const rememberedNoMs = 5_000;
/** Age at which a yes that is used is asked for anew, beside the call. */
export const refreshedYesMs = 30_000;
/** How old a yes may get while the authority is away. */
export const keptYesMs = 600_000;
/** Pause between two questions to an authority that is away, and how long nobody waits for one that was. */
export const retryMs = 5_000;
export const believedAwayMs = 30_000;
/** Answers of a kind that are kept, yes and no apart; the oldest goes first. */
export const rememberedMax = 4096;
/** Questions of a kind that wait for their answers at a time. */
export const questionsMax = 64;

interface Remembered<Value> {
  readonly value: Value;
  readonly atMs: number;
  /** When the authority was last found to be away since it said so. */
  awayAtMs?: number;
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

  /** What is known of the key, or what is found out. Throws what finding out throws. */
  async get(key: string, find: () => Promise<Value>): Promise<Value> {
    const nowMs = this.#clock.monotonicMs();
    const yes = this.#yes.get(key);
    if (yes !== undefined && nowMs - yes.atMs < keptYesMs) return this.#getKnown(key, yes, find);
    const no = this.#no.get(key);
    if (no !== undefined && nowMs - no.atMs < rememberedNoMs) return no.value;
    if (!this.#asked.has(key) && this.#asked.size >= questionsMax) {
      throw new EtlError(
        'ETL_UNAVAILABLE',
        `${questionsMax} questions who may do something wait for their answers already`,
        { retryable: true },
      );
    }
    return this.#ask(key, find);
  }

  /** A yes is used as it is while it counts, and beyond that only where nobody can say. */
  async #getKnown(
    key: string,
    known: Remembered<Value>,
    find: () => Promise<Value>,
  ): Promise<Value> {
    const nowMs = this.#clock.monotonicMs();
    const ageMs = nowMs - known.atMs;
    if (ageMs < refreshedYesMs) return known.value;
    const awayForMs = nowMs - (known.awayAtMs ?? Number.NEGATIVE_INFINITY);
    const answer =
      awayForMs < retryMs ? Promise.resolve(known.value) : this.#askAgain(key, known, find);
    if (ageMs >= rememberedYesMs && awayForMs >= believedAwayMs) return answer;
    // Told to whoever asks next.
    answer.catch(() => undefined);
    return known.value;
  }

  /** What is known where the authority is away; whatever else goes wrong is thrown, and forgets it. */
  async #askAgain(
    key: string,
    known: Remembered<Value>,
    find: () => Promise<Value>,
  ): Promise<Value> {
    try {
      return await this.#ask(key, find);
    } catch (error) {
      if (isEtlError(error) && error.code === 'ETL_UNAVAILABLE') {
        known.awayAtMs = this.#clock.monotonicMs();
        return known.value;
      }
      this.#yes.delete(key);
      throw error;
    }
  }

  #ask(key: string, find: () => Promise<Value>): Promise<Value> {
    const asked = this.#asked.get(key);
    if (asked !== undefined) return asked;
    const atMs = this.#clock.monotonicMs();
    const answer = find()
      .then((value) => {
        this.#remember(key, { value, atMs });
        return value;
      })
      .finally(() => this.#asked.delete(key));
    this.#asked.set(key, answer);
    return answer;
  }

  #remember(key: string, answer: Remembered<Value>): void {
    const [memory, other] = this.#isYes(answer.value)
      ? [this.#yes, this.#no]
      : [this.#no, this.#yes];
    other.delete(key);
    memory.delete(key);
    memory.set(key, answer);
    if (memory.size <= rememberedMax) return;
    const [oldest] = memory.keys();
    if (oldest !== undefined) memory.delete(oldest);
  }
}
