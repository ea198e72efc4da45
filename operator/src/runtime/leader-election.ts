// One of several processes leads, by a Lease. The rules are client-go's: whether another's claim has run out is judged by
// when this process last saw it change, on its own monotonic clock, never by the times written in it; a claim is taken by a
// write that the server refuses when somebody else was faster. Who can not renew within `renewDeadlineMs` stops acting
// before anybody else may begin, and `mayWrite` says no from then on even while the event loop stands still. A process that
// lost the lease does not try again: it ends, and is started anew.
// States: standby (watches another's claim) → leading → lost or released, and there it stays.

import {
  type Clock,
  EtlError,
  type Logger,
  type Random,
  silentLogger,
  sleep,
} from '@etl-router/core';
import { isConflict, isNotFound } from './api-error.ts';
import type { ObjectRef } from './kube-object.ts';
import { claimed, epochOf, givenAway, type Lease, leaseKind } from './lease.ts';
import type { RuntimeMetrics } from './metrics.ts';
import type { RawKube } from './raw-kube.ts';

export interface LeaderElectionOptions {
  /** A client of its own, without `mayWrite`: a renewal waits behind no other call. */
  readonly client: Pick<RawKube, 'get' | 'create' | 'replace'>;
  readonly namespace: string;
  /** The name of the Lease. */
  readonly name: string;
  /** Names this process among all that ever ran: the pod's name and something random. */
  readonly identity: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: RuntimeMetrics;
  /** How long others wait after they last saw the claim change. Default 15,000. */
  readonly leaseDurationMs?: number;
  /** How long after its last renewal this process acts. Default 10,000. */
  readonly renewDeadlineMs?: number;
  /** Between two tries. Default 2,000, and up to 20 % more. */
  readonly retryPeriodMs?: number;
}

/** How an election ended for this process. */
export type ElectionEnd = 'lost' | 'stopped';

export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #ref: ObjectRef;
  readonly #logger: Logger;
  readonly #durationMs: number;
  readonly #deadlineMs: number;
  readonly #retryMs: number;
  /** The claim as it was last seen, and when it was first seen so. */
  #seen: Lease | undefined;
  #seenAtMs = 0;
  #leading = false;
  /** Acting is allowed until then, while leading. */
  #untilMs = Number.NEGATIVE_INFINITY;
  #renewedAtWallMs = 0;
  /** Of this process's own claim. */
  #epoch = 0;
  /** Changes of hands that this process saw: a lease that somebody deleted does not begin again at 1. */
  #highestTransitions = 0;

  constructor(options: LeaderElectionOptions) {
    const { leaseDurationMs = 15_000, renewDeadlineMs = 10_000, retryPeriodMs = 2000 } = options;
    if (
      !(
        leaseDurationMs > renewDeadlineMs &&
        renewDeadlineMs > 1.2 * retryPeriodMs &&
        retryPeriodMs > 0
      )
    ) {
      throw new EtlError(
        'ETL_CONFIG_INVALID',
        `leader election: leaseDurationMs (${leaseDurationMs}) must be over renewDeadlineMs (${renewDeadlineMs}), and that over 1.2 times retryPeriodMs (${retryPeriodMs})`,
      );
    }
    this.#options = options;
    this.#ref = { kind: leaseKind, namespace: options.namespace, name: options.name };
    this.#logger = options.logger ?? silentLogger;
    this.#durationMs = leaseDurationMs;
    this.#deadlineMs = renewDeadlineMs;
    this.#retryMs = retryPeriodMs;
    options.metrics?.leading.set({ name: options.name }, 0);
    options.metrics?.leaderSlowpath.inc({ name: options.name }, 0);
  }

  /** True while this process leads and renewed recently enough that no other can. Ask before each act. */
  mayWrite(): boolean {
    // The monotonic clock of a machine that slept stood still, wall time did not: what it shows calls for a renewal first.
    const wallMs = this.#options.clock.wallMs() - this.#renewedAtWallMs;
    return this.#leading && !this.#expired() && Math.abs(wallMs) < this.#deadlineMs;
  }

  /** Higher than that of whoever held the lease before: fences what is outside of Kubernetes. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Who leads, as far as this process has seen. */
  get leader(): string {
    return this.#seen?.spec?.holderIdentity ?? '';
  }

  /**
   * Waits to lead, then leads until it can not renew (`lost`) or `signal` aborts (`stopped`). `onLeading` is told when it
   * begins. After `stopped` the lease is still held: {@link release} it once nothing acts any more.
   */
  async run(signal: AbortSignal, onLeading: () => void): Promise<ElectionEnd> {
    while (!(await this.#tryOnce(signal))) {
      if (signal.aborted || !(await this.#pause(signal))) return 'stopped';
    }
    this.#setLeading(true);
    onLeading();
    while (await this.#pause(signal)) {
      if (!this.#expired()) await this.#tryOnce(signal);
      if (signal.aborted) break;
      if (this.#expired()) {
        this.#setLeading(false);
        this.#logger.error(
          { leader: this.leader },
          'the lease could not be renewed in time; this process acts no more',
        );
        return 'lost';
      }
    }
    return 'stopped';
  }

  /** Gives the lease away, so that another need not wait for it to run out. Call when nothing acts any more. */
  async release(): Promise<void> {
    const held = this.#seen;
    if (!this.mayWrite() || held === undefined) return;
    this.#setLeading(false);
    const spec = givenAway(held, this.#options.clock.wallMs());
    await this.#options.client.replace(this.#ref, { ...held, spec }, { deadlineMs: this.#retryMs });
    this.#logger.info('lease released');
  }

  /** Claims or renews; true when the lease is this process's afterwards. */
  async #tryOnce(signal: AbortSignal): Promise<boolean> {
    const { identity, clock } = this.#options;
    // Time counts from before the request: the server may have written at once and answered late.
    const startMs = clock.monotonicMs();
    const startWallMs = clock.wallMs();
    try {
      const known = this.#leading ? this.#seen : await this.#read(signal);
      const holder = known?.spec?.holderIdentity ?? '';
      if (holder !== '' && holder !== identity && startMs < this.#seenAtMs + this.#expiryMs(known))
        return false;
      const written = await this.#write(known, signal);
      this.#notice(written, startMs);
      this.#untilMs = startMs + this.#deadlineMs;
      this.#renewedAtWallMs = startWallMs;
      this.#epoch = epochOf(written);
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      const level = isConflict(error) ? 'debug' : 'warn';
      this.#logger[level]({ error: (error as Error).message }, 'the lease was not written');
      if (this.#leading && (isConflict(error) || isNotFound(error))) await this.#lookAgain(signal);
      return false;
    }
  }

  /** Another wrote the lease while this process leads: whoever holds it now, holds it. */
  async #lookAgain(signal: AbortSignal): Promise<void> {
    const { metrics, name, identity } = this.#options;
    metrics?.leaderSlowpath.inc({ name });
    try {
      const found = await this.#read(signal);
      if (found?.spec?.holderIdentity !== identity) this.#untilMs = Number.NEGATIVE_INFINITY;
    } catch (error) {
      this.#logger.warn({ error: (error as Error).message }, 'the lease could not be read');
    }
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      const found = await this.#options.client.get<Lease>(this.#ref, {
        signal,
        deadlineMs: this.#deadlineMs / 2,
      });
      this.#notice(found, this.#options.clock.monotonicMs());
      return found;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#seen = undefined;
      return undefined;
    }
  }

  async #write(known: Lease | undefined, signal: AbortSignal): Promise<Lease> {
    const { client, clock, identity, namespace, name } = this.#options;
    const renewing = known?.spec?.holderIdentity === identity;
    const spec = claimed(known, {
      identity,
      durationMs: this.#durationMs,
      transitions: renewing ? this.#highestTransitions : this.#highestTransitions + 1,
      wallMs: clock.wallMs(),
    });
    const options = { signal, deadlineMs: this.#deadlineMs / 2 };
    if (known !== undefined)
      return await client.replace<Lease>(this.#ref, { ...known, spec }, options);
    const { apiVersion, kind } = leaseKind;
    return await client.create<Lease>(
      leaseKind,
      { apiVersion, kind, metadata: { name, namespace }, spec },
      options,
    );
  }

  /** Notes a claim; one that is as it was has been seen before. */
  #notice(lease: Lease, atMs: number): void {
    if (
      lease.metadata.resourceVersion !== this.#seen?.metadata.resourceVersion ||
      lease.metadata.uid !== this.#seen?.metadata.uid
    ) {
      this.#seenAtMs = atMs;
    }
    this.#seen = lease;
    this.#highestTransitions = Math.max(
      this.#highestTransitions,
      lease.spec?.leaseTransitions ?? 0,
    );
  }

  #expired(): boolean {
    return this.#options.clock.monotonicMs() >= this.#untilMs;
  }

  /** How long a claim holds: as long as its holder says, and no shorter than ours while it holds one. */
  #expiryMs(lease: Lease | undefined): number {
    return Math.max(this.#durationMs, (lease?.spec?.leaseDurationSeconds ?? 0) * 1000);
  }

  /** Waits for the next try; false when there is none. */
  async #pause(signal: AbortSignal): Promise<boolean> {
    const { clock, random } = this.#options;
    const waitMs = this.#retryMs * (1 + 0.2 * random.next());
    return await sleep(clock, waitMs, signal).then(
      () => true,
      () => false,
    );
  }

  #setLeading(leading: boolean): void {
    const { metrics, name, identity } = this.#options;
    this.#leading = leading;
    metrics?.leading.set({ name }, Number(leading));
    if (leading) this.#logger.info({ identity, epoch: this.epoch }, 'leading');
  }
}
