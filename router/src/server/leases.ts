// Who gave a sign of life when. Kept by the leader alone and never written down: only what follows from silence, a
// change of health or a removal, goes through the log. Whoever becomes leader gives everyone one full lease of grace.

import type { Cancel, Clock } from '@etl-router/core';

/** Silence of more than one lease makes unhealthy, of more than three removes. */
const leasesUntilExpiry = 3;
const checkIntervalMs = 500;
/** A check that comes this much later than planned means that this process stood still, not the holders. */
const stallMs = 2000;

/** What a holder's silence means. */
export type Silence = 'unhealthy' | 'expired';

interface Lease {
  readonly registrationId: bigint;
  readonly ttlMs: number;
  seenAtMs: number;
  /** Wall time of the last sign of life; undefined while there was none since this node took over. */
  heardAtMs: number | undefined;
  told: Silence | undefined;
}

/** Leases by holder. */
export class Leases {
  readonly #clock: Clock;
  readonly #onSilence: (id: string, registrationId: bigint, silence: Silence) => void;
  readonly #leases = new Map<string, Lease>();
  #cancel: Cancel | undefined;
  #checkedAtMs = 0;

  /** `onSilence` is called once for each step, and again for `expired` at every check while the holder is known. */
  constructor(
    clock: Clock,
    onSilence: (id: string, registrationId: bigint, silence: Silence) => void,
  ) {
    this.#clock = clock;
    this.#onSilence = onSilence;
  }

  /** Begins to watch, with a full lease of grace for everyone known. */
  start(): void {
    const now = this.#clock.monotonicMs();
    for (const lease of this.#leases.values()) {
      lease.seenAtMs = now;
      lease.told = undefined;
    }
    this.#checkedAtMs = now;
    this.#cancel ??= this.#clock.after(checkIntervalMs, () => this.#check());
  }

  /** Stops watching; what is known stays. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** A holder is registered. An unknown or newer registration starts with a full lease. */
  track(id: string, registrationId: bigint, ttlMs: number): void {
    if (this.#leases.get(id)?.registrationId === registrationId) return;
    const seenAtMs = this.#clock.monotonicMs();
    this.#leases.set(id, {
      registrationId,
      ttlMs,
      seenAtMs,
      heardAtMs: undefined,
      told: undefined,
    });
  }

  /** A sign of life. */
  renew(id: string): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.seenAtMs = this.#clock.monotonicMs();
    lease.heardAtMs = this.#clock.wallMs();
    lease.told = undefined;
  }

  forget(id: string): void {
    this.#leases.delete(id);
  }

  /** Wall time of the last sign of life that this node saw. */
  heardAtMs(id: string): number | undefined {
    return this.#leases.get(id)?.heardAtMs;
  }

  #check(): void {
    const now = this.#clock.monotonicMs();
    const lateMs = now - this.#checkedAtMs - checkIntervalMs;
    this.#checkedAtMs = now;
    for (const [id, lease] of this.#leases) {
      if (lateMs >= stallMs) lease.seenAtMs = Math.min(now, lease.seenAtMs + lateMs);
      const silentMs = now - lease.seenAtMs;
      if (silentMs > lease.ttlMs * leasesUntilExpiry) {
        lease.told = 'expired';
        this.#onSilence(id, lease.registrationId, 'expired');
      } else if (silentMs > lease.ttlMs && lease.told === undefined) {
        lease.told = 'unhealthy';
        this.#onSilence(id, lease.registrationId, 'unhealthy');
      }
    }
    this.#cancel = this.#clock.after(checkIntervalMs, () => this.#check());
  }
}
