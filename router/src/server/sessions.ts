// Client sessions: opened, used and closed by clients, and expired by the leader when they fall silent.

import type { Cancel, Clock, Logger } from '@etl-router/core';
import { isEtlError } from '@etl-router/core';
import { msOfNs } from './numbers.ts';
import type { Proposer } from './proposer.ts';
import type { StateHost } from './state-host.ts';

const checkIntervalMs = 10_000;
/** Sessions ended in one check, so that a check is short. */
const expiriesPerCheck = 100;

/** The sessions of the router. */
export class Sessions {
  readonly #host: StateHost;
  readonly #proposer: Proposer;
  readonly #clock: Clock;
  readonly #logger: Logger;
  /** Monotonic time from which this node judges silence: its own start, so that a pause of the cluster ends nothing. */
  #startedAtWallMs = 0;
  #cancel: Cancel | undefined;
  #checking: Promise<void> | undefined;

  constructor(parts: {
    readonly host: StateHost;
    readonly proposer: Proposer;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#host = parts.host;
    this.#proposer = parts.proposer;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
  }

  /** Begins to expire silent sessions; the leader does. */
  start(): void {
    this.#startedAtWallMs = this.#clock.wallMs();
    this.#cancel ??= this.#clock.after(checkIntervalMs, () => this.#check());
  }

  async stop(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    await this.#checking;
  }

  /** Opens a session; name it in the request of each command that must apply once. */
  async open(client: string, ttlMs: number): Promise<{ readonly sessionId: string }> {
    const body = { case: 'openSession', value: { client, ttlMs } } as const;
    const { sessionId } = await this.#proposer.ask('openSession', body);
    return { sessionId };
  }

  /** Keeps a session from expiring. Throws ETL_NOT_FOUND when it is gone, and what its requests did is unknown. */
  async keep(sessionId: string): Promise<void> {
    await this.#proposer.propose({ case: 'keepSession', value: { sessionId } });
  }

  /** Ends a session. One that is gone is no error. */
  async end(sessionId: string): Promise<void> {
    await this.#expire(sessionId, 0n);
  }

  #check(): void {
    const { sessions } = this.#host.tables;
    const nowMs = this.#clock.wallMs();
    const silent: { readonly sessionId: string; readonly lastSeenAtNs: bigint }[] = [];
    for (const { sessionId, lastSeenAtNs, ttlMs } of sessions.rows()) {
      const heardAtMs = Math.max(msOfNs(lastSeenAtNs), this.#startedAtWallMs);
      if (nowMs - heardAtMs > ttlMs) silent.push({ sessionId, lastSeenAtNs });
      if (silent.length === expiriesPerCheck) break;
    }
    this.#checking = this.#expireAll(silent).finally(() => {
      this.#checking = undefined;
      if (this.#cancel !== undefined) {
        this.#cancel = this.#clock.after(checkIntervalMs, () => this.#check());
      }
    });
  }

  async #expireAll(
    silent: readonly { readonly sessionId: string; readonly lastSeenAtNs: bigint }[],
  ): Promise<void> {
    for (const { sessionId, lastSeenAtNs } of silent) {
      try {
        await this.#expire(sessionId, lastSeenAtNs);
      } catch (error) {
        this.#logger.debug({ err: error, sessionId }, 'a session was not expired');
      }
    }
  }

  async #expire(sessionId: string, lastSeenAtNs: bigint): Promise<void> {
    try {
      await this.#proposer.propose({ case: 'expireSession', value: { sessionId, lastSeenAtNs } });
    } catch (error) {
      if (!isEtlError(error) || error.code !== 'ETL_NOT_FOUND') throw error;
    }
  }
}
