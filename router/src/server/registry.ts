// Services: registration, heartbeats, look-ups and watching. Heartbeats stay on the leader; the log sees a service
// come, change its health and go.

import type { Cancel, Clock, Logger } from '@etl-router/core';
import { EtlError, isEtlError } from '@etl-router/core';
import type { StoredService } from '@etl-router/proto';
import { EventLog, type Revised } from './event-log.ts';
import { Leases, type Silence } from './leases.ts';
import { fromCount, toCount } from './numbers.ts';
import type { ProblemWatch } from './problem-watch.ts';
import type { ProposeOptions, Proposer } from './proposer.ts';
import {
  type Endpoint,
  type Health,
  type RegisteredService,
  type ServiceInfo,
  type ServiceType,
  toDescription,
  toRegisteredService,
  toStoredHealth,
} from './service-view.ts';
import type { StateHost } from './state-host.ts';

/** Which services. Absent fields match all. */
export interface ServiceFilter {
  readonly namespace?: string;
  readonly name?: string;
  readonly type?: ServiceType;
  readonly groupId?: string;
  readonly labels?: { readonly [name: string]: string };
  /** Also those that can not be used now. Default true. */
  readonly includeUnhealthy?: boolean;
}

/** What happened to a service. `reset` and `synced` frame a list of all that match. */
export type ServiceEvent =
  | { readonly kind: 'reset' }
  | { readonly kind: 'synced' }
  | {
      readonly kind: 'added' | 'modified' | 'healthChanged' | 'partitionsChanged' | 'removed';
      readonly service: RegisteredService;
    };

/** Events that belong together. */
export interface ServiceEvents {
  /** Continue after it. */
  readonly revision: number;
  readonly events: readonly ServiceEvent[];
}

/** A service's sign of life. */
export interface ServiceHeartbeat {
  readonly serviceId: string;
  readonly registrationId: number;
  readonly health: Health;
  /** Why, for people. */
  readonly message?: string;
}

interface Happened extends Revised {
  readonly event: Extract<ServiceEvent, { service: RegisteredService }>;
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
  readonly #history: EventLog<Happened>;
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
    const startRevision = this.revision;
    this.#history = new EventLog({
      capacity: parts.historyEvents ?? historyEvents,
      startRevision,
    });
    for (const key of this.#host.tables.services.keys()) this.#learn(key);
    this.#cancels.push(
      this.#host.feed.on('services', (keys) => {
        for (const key of keys) this.#onChange(key);
      }),
      this.#host.feed.on('groups', (keys) => {
        for (const key of keys) this.#onGroup(key);
      }),
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
    if (row === undefined) return;
    if (drainMs === 0) return this.#remove(serviceId, registrationId, options);
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
      (service) => matches(service, filter),
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
  async *watch(
    filter: ServiceFilter,
    options: { readonly afterRevision?: number; readonly signal: AbortSignal },
  ): AsyncGenerator<ServiceEvents, void, void> {
    const { signal } = options;
    let after = options.afterRevision;
    let told: Set<string> | undefined;
    while (!signal.aborted) {
      const { rings } = this.#history.bell;
      const happened = after === undefined ? undefined : this.#history.after(after);
      if (happened === undefined) {
        const services = this.list(filter);
        const events = services.map((service) => ({ kind: 'added', service }) as const);
        told = new Set(services.map(({ serviceId }) => serviceId));
        const opening: ServiceEvent[] = after === undefined ? [] : [{ kind: 'reset' }];
        after = this.revision;
        yield { revision: after, events: [...opening, ...events, { kind: 'synced' }] };
      } else if (happened.length > 0) {
        after = (happened.at(-1) as Happened).revision;
        const events = happened.flatMap(({ event }) => seenThrough(filter, event, told));
        yield { revision: after, events };
      } else {
        await this.#history.bell.after(rings, signal);
      }
    }
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
      if (!isEtlError(error) || error.code !== 'ETL_NOT_FOUND') throw error;
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
    const before = this.#known.get(serviceId);
    const after = this.#host.tables.services.get(serviceId);
    this.#learn(serviceId);
    const row = after ?? before;
    if (row === undefined) return;
    const kind =
      after === undefined
        ? 'removed'
        : before?.registrationId !== after.registrationId
          ? 'added'
          : before.health !== after.health
            ? 'healthChanged'
            : 'modified';
    this.#history.append({ revision: this.revision, event: { kind, service: this.#view(row) } });
  }

  /** The members of a group own other partitions: those that are services are told of. */
  #onGroup(groupId: string): void {
    for (const { memberId } of this.#host.tables.groups.get(groupId)?.members ?? []) {
      const row = this.#host.tables.services.get(memberId);
      if (row?.description?.groupId !== groupId) continue;
      const event = { kind: 'partitionsChanged', service: this.#view(row) } as const;
      this.#history.append({ revision: this.revision, event });
    }
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

function matches(service: RegisteredService, filter: ServiceFilter): boolean {
  if (filter.namespace !== undefined && service.namespace !== filter.namespace) return false;
  if (filter.name !== undefined && service.name !== filter.name) return false;
  if (filter.type !== undefined && service.type !== filter.type) return false;
  if (filter.groupId !== undefined && service.groupId !== filter.groupId) return false;
  const usable = service.health === 'healthy' || service.health === 'degraded';
  if (filter.includeUnhealthy === false && !usable) return false;
  return Object.entries(filter.labels ?? {}).every(
    ([name, value]) => service.labels[name] === value,
  );
}

/**
 * The event as a watcher sees it: what it was never told of is not removed for it, and what stops matching is.
 * `told` is undefined for a watcher that came back, whose knowledge is its own.
 */
function seenThrough(
  filter: ServiceFilter,
  event: Happened['event'],
  told: Set<string> | undefined,
): readonly ServiceEvent[] {
  const { kind, service } = event;
  const { serviceId } = service;
  if (kind !== 'removed' && matches(service, filter)) {
    const isNews = told !== undefined && !told.has(serviceId);
    told?.add(serviceId);
    return [isNews ? { kind: 'added', service } : event];
  }
  const knows = told?.delete(serviceId) ?? matches(service, { ...filter, includeUnhealthy: true });
  return knows ? [{ kind: 'removed', service }] : [];
}
