// Services: registration, heartbeats, look-ups and watching. Heartbeats stay on the leader; the log sees a service
// come, change its health and go.

import type { Cancel, Clock, Logger } from '@etl-router/core';
import { EtlError } from '@etl-router/core';
import type { StoredService } from '@etl-router/proto';
import { Leases, type Silence } from './leases.ts';
import { fromCount, toCount } from './numbers.ts';
import type { ProblemWatch } from './problem-watch.ts';
import { isAlreadyGone, type ProposeOptions, type Proposer } from './proposer.ts';
import {
  type Endpoint,
  type Health,
  type RegisteredService,
  type ServiceFilter,
  type ServiceInfo,
  selects,
  toDescription,
  toRegisteredService,
  toStoredHealth,
} from './service-view.ts';
import { type ServiceEvents, ServiceWatch } from './service-watch.ts';
import type { StateHost } from './state-host.ts';

/** A service's sign of life. */
export interface ServiceHeartbeat {
  readonly serviceId: string;
  readonly registrationId: number;
  readonly health: Health;
  /** Why, for people. */
  readonly message?: string;
}

const historyEvents = 10_000;
const drainMaxMs = 600_000;

/** The registry of services. */
export class Registry {
  readonly #host: StateHost;
  readonly #proposer: Proposer;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #problemWatch: ProblemWatch;
  readonly #leases: Leases;
  readonly #watch: ServiceWatch;
  readonly #known = new Map<string, StoredService>();
  readonly #cancels: Cancel[] = [];
  readonly #busy = new Set<string>();
  /** Services that drain before they are removed: their own word on their health no longer counts. */
  readonly #leaving = new Map<string, Cancel>();

  constructor(parts: {
    readonly host: StateHost;
    readonly proposer: Proposer;
    readonly clock: Clock;
    readonly logger: Logger;
    readonly problemWatch: ProblemWatch;
    /** Events kept for watchers that come back. Default 10,000. */
    readonly historyEvents?: number;
  }) {
    this.#host = parts.host;
    this.#proposer = parts.proposer;
    this.#clock = parts.clock;
    this.#logger = parts.logger;
    this.#problemWatch = parts.problemWatch;
    this.#leases = new Leases(parts.clock, (id, registrationId, silence) => {
      void this.#onSilence(id, registrationId, silence);
    });
    this.#watch = new ServiceWatch({
      host: this.#host,
      view: (row) => this.#view(row),
      list: (filter) => this.list(filter),
      historyEvents: parts.historyEvents ?? historyEvents,
    });
    for (const key of this.#host.tables.services.keys()) this.#learn(key);
    this.#cancels.push(
      this.#host.feed.on('services', (keys) => {
        for (const key of keys) this.#onChange(key);
      }),
      this.#host.feed.on('groups', (keys) => {
        for (const key of keys) this.#watch.groupChanged(key);
      }),
      this.#host.feed.onReplaced(() => this.#watch.replaced()),
    );
  }

  /** Revision of the router's state. */
  get revision(): number {
    return toCount(this.#host.tables.clock().revision);
  }

  /** Begins to judge silence; the leader does. */
  start(): void {
    this.#leases.start();
  }

  /** Stops judging; another one leads. */
  stop(): void {
    this.#leases.stop();
    for (const cancel of this.#leaving.values()) cancel();
    this.#leaving.clear();
  }

  close(): void {
    this.stop();
    for (const cancel of this.#cancels) cancel();
  }

  /** Adds a service, or replaces the one with its id. */
  async register(
    info: ServiceInfo,
    options: ProposeOptions = {},
  ): Promise<{ readonly registrationId: number; readonly leaseTtlMs: number }> {
    const description = toDescription(info);
    const body = { case: 'registerService', value: { description } } as const;
    const { registrationId } = await this.#proposer.ask('registration', body, options);
    this.#leases.renew(info.serviceId);
    return { registrationId: toCount(registrationId), leaseTtlMs: description.leaseTtlMs ?? 0 };
  }

  /** Removes a service, after `drainMs` of draining. One that is not there is no error. */
  async deregister(
    request: {
      readonly serviceId: string;
      /** The registration it must have; 0: any. */
      readonly registrationId?: number;
      readonly drainMs?: number;
    },
    options: ProposeOptions = {},
  ): Promise<void> {
    const { serviceId, drainMs = 0 } = request;
    const registrationId = fromCount('registration_id', request.registrationId ?? 0);
    if (!(drainMs >= 0 && drainMs <= drainMaxMs)) {
      throw new EtlError('ETL_INVALID_ARGUMENT', `drain_timeout_ms: must be 0 to ${drainMaxMs}`);
    }
    const row = this.#host.tables.services.get(serviceId);
    // A registration that was answered elsewhere may not be applied here yet: the log knows.
    if (drainMs === 0 || row === undefined) return this.#remove(serviceId, registrationId, options);
    const held = registrationId === 0n ? row.registrationId : registrationId;
    await this.#setHealth(serviceId, held, { health: 'draining', message: 'is leaving' });
    const cancel = this.#clock.after(drainMs, () => void this.#removeQuietly(serviceId, held));
    this.#leaving.get(serviceId)?.();
    this.#leaving.set(serviceId, cancel);
  }

  /**
   * A sign of life. Throws ETL_NOT_FOUND when the service has to register again. What it says of its health goes
   * through the log only when it differs from what is known.
   */
  async heartbeat(beat: ServiceHeartbeat): Promise<{ readonly deadlineMs: number }> {
    const row = this.#host.tables.services.get(beat.serviceId);
    const registrationId = fromCount('registration_id', beat.registrationId);
    if (row === undefined || row.registrationId !== registrationId) {
      throw new EtlError(
        'ETL_NOT_FOUND',
        `service ${beat.serviceId} has no registration ${registrationId}; register again`,
        { details: { serviceId: beat.serviceId } },
      );
    }
    await this.#hear(row, beat);
    return { deadlineMs: row.description?.leaseTtlMs ?? 0 };
  }

  /** A sidecar's word on the services beside it: a sign of life of each that it names. */
  async heartbeatBeside(
    sidecarId: string,
    beats: readonly Omit<ServiceHeartbeat, 'registrationId'>[],
  ): Promise<void> {
    for (const beat of beats) {
      const row = this.#host.tables.services.get(beat.serviceId);
      if (row?.description?.sidecarId === sidecarId) await this.#hear(row, beat);
    }
  }

  /** Keeps a service's lease without a word about its health. */
  renewLease(serviceId: string): void {
    this.#existing(serviceId);
    this.#leases.renew(serviceId);
  }

  get(serviceId: string): RegisteredService | undefined {
    const row = this.#host.tables.services.get(serviceId);
    return row === undefined ? undefined : this.#view(row);
  }

  /** The services that match, in order of their ids. */
  list(filter: ServiceFilter = {}): readonly RegisteredService[] {
    return Array.from(this.#host.tables.services.rows(), (row) => this.#view(row)).filter(
      (service) => selects(filter, service),
    );
  }

  /** The instances that can be used now, in order of their ids. */
  endpoints(
    filter: ServiceFilter & { readonly namespace: string; readonly name: string },
  ): readonly (RegisteredService & { readonly endpoint: Endpoint })[] {
    return this.list({ ...filter, includeUnhealthy: false });
  }

  /**
   * All services that match, then every change, until the signal aborts. With `afterRevision` it continues there, or
   * begins anew with `reset` when that is too long ago.
   */
  watch(
    filter: ServiceFilter,
    options: { readonly afterRevision?: number; readonly signal: AbortSignal },
  ): AsyncGenerator<ServiceEvents, void, void> {
    return this.#watch.watch(filter, options);
  }

  #existing(serviceId: string): StoredService {
    const row = this.#host.tables.services.get(serviceId);
    if (row !== undefined) return row;
    throw new EtlError('ETL_NOT_FOUND', `service ${serviceId} does not exist`);
  }

  async #hear(row: StoredService, beat: Omit<ServiceHeartbeat, 'registrationId'>): Promise<void> {
    const { serviceId, health, message = '' } = beat;
    this.#leases.renew(serviceId);
    if (this.#leaving.has(serviceId)) return;
    if (row.health === toStoredHealth(health) && row.healthMessage === message) return;
    await this.#setHealth(serviceId, row.registrationId, { health, message });
  }

  async #setHealth(
    serviceId: string,
    registrationId: bigint,
    said: { readonly health: Health; readonly message: string },
  ): Promise<void> {
    const value = {
      serviceId,
      registrationId,
      health: toStoredHealth(said.health),
      message: said.message,
    };
    await this.#proposer.propose({ case: 'updateServiceHealth', value });
  }

  async #remove(
    serviceId: string,
    registrationId: bigint,
    options: ProposeOptions = {},
  ): Promise<void> {
    try {
      await this.#proposer.propose(
        { case: 'deregisterService', value: { serviceId, registrationId } },
        options,
      );
    } catch (error) {
      if (!isAlreadyGone(error)) throw error;
    }
  }

  /** Removes what has drained; where that fails, its silence removes it later. */
  async #removeQuietly(serviceId: string, registrationId: bigint): Promise<void> {
    try {
      await this.#remove(serviceId, registrationId);
    } catch (error) {
      this.#logger.warn({ err: error, serviceId }, 'a service could not be removed');
    }
  }

  async #onSilence(serviceId: string, registrationId: bigint, silence: Silence): Promise<void> {
    if (this.#busy.has(serviceId)) return;
    this.#busy.add(serviceId);
    try {
      if (silence === 'expired') {
        this.#logger.info({ serviceId }, 'service removed: no heartbeat for three leases');
        await this.#remove(serviceId, registrationId);
        this.#problemWatch.expired('service', serviceId);
      } else {
        const message = 'no heartbeat for a lease';
        await this.#setHealth(serviceId, registrationId, { health: 'unhealthy', message });
      }
    } catch (error) {
      this.#logger.warn(
        { err: error, serviceId },
        'the silence of a service could not be recorded',
      );
    } finally {
      this.#busy.delete(serviceId);
    }
  }

  #learn(serviceId: string): void {
    const row = this.#host.tables.services.get(serviceId);
    if (row?.registrationId !== this.#known.get(serviceId)?.registrationId) {
      this.#leaving.get(serviceId)?.();
      this.#leaving.delete(serviceId);
    }
    if (row?.description === undefined) {
      this.#known.delete(serviceId);
      this.#leases.forget(serviceId);
      return;
    }
    this.#known.set(serviceId, row);
    this.#leases.track(serviceId, row.registrationId, row.description.leaseTtlMs);
  }

  #onChange(serviceId: string): void {
    this.#learn(serviceId);
    this.#watch.changed(serviceId);
  }

  #view(row: StoredService): RegisteredService {
    const { serviceId = '', groupId = '' } = row.description ?? {};
    const group = groupId === '' ? undefined : this.#host.tables.groups.get(groupId);
    const member = group?.members.find((candidate) => candidate.memberId === serviceId);
    return toRegisteredService(row, {
      lastHeartbeatAtMs: this.#leases.heardAtMs(serviceId),
      partitions: member?.partitions ?? [],
    });
  }
}
