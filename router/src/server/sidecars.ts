// Sidecars: who they are, what each of them is to run, and what they report. What a sidecar is told is always the
// difference between the assignments in the state and what it says it runs, so nothing is lost with a message, a
// stream or a leader.

import type { Cancel, Clock, Logger } from '@etl-router/core';
import { EtlError } from '@etl-router/core';
import type { StoredSidecar } from '@etl-router/proto';
import { type Assignment, toAssignment } from './assignment-view.ts';
import { Bell } from './bell.ts';
import { Leases, type Silence } from './leases.ts';
import type { Live, PipelineReport } from './live.ts';
import { fromCount, msOfNs, toCount } from './numbers.ts';
import type { ProblemWatch } from './problem-watch.ts';
import { isAlreadyGone, type ProposeOptions, type Proposer } from './proposer.ts';
import type { Registry, ServiceHeartbeat } from './registry.ts';
import {
  fromStoredHealth,
  type Health,
  type ServiceInfo,
  sortedUnique,
  toDescription,
  toStoredHealth,
} from './service-view.ts';
import type { StateHost } from './state-host.ts';

/** What a sidecar says of itself. */
export interface SidecarInfo {
  /** Unique, `namespace/pod`. */
  readonly sidecarId: string;
  readonly namespace: string;
  readonly podName?: string;
  /** Availability zone. */
  readonly zone?: string;
  /** Where other sidecars reach it, `host:port`. */
  readonly endpoint?: string;
  /** What it runs beside the services of its pod: `connectors`. */
  readonly offers?: readonly string[];
  readonly version?: string;
  /** Longest silence; default 15,000. */
  readonly leaseTtlMs?: number;
}

/** A sidecar as it is registered. */
export interface RegisteredSidecar extends Required<SidecarInfo> {
  readonly registrationId: number;
  readonly revision: number;
  readonly health: Health;
  readonly registeredAtMs: number;
  readonly lastHeartbeatAtMs: number | undefined;
}

/** An assignment that a sidecar has. */
export interface KnownAssignment {
  readonly pipelineId: string;
  readonly planVersion: number;
}

/** What differs between what a sidecar should run and what it has. */
export interface AssignmentChange {
  /** New, or of a new plan version. */
  readonly assign: readonly Assignment[];
  /** Ended. */
  readonly revoke: readonly KnownAssignment[];
  /** With this one the sidecar knows all that held when the watch began or later. */
  readonly synced: boolean;
}

/** A sidecar's sign of life. */
export interface SidecarHeartbeat {
  readonly sidecarId: string;
  readonly registrationId: number;
  readonly health: Health;
  /** Everything it runs. */
  readonly pipelines: readonly PipelineReport[];
  /** How the services beside it are. */
  readonly services?: readonly Omit<ServiceHeartbeat, 'registrationId'>[];
}

const defaultLeaseTtlMs = 15_000;
const servicesMax = 64;

/** The sidecars of the router. */
export class Sidecars {
  readonly #host: StateHost;
  readonly #proposer: Proposer;
  readonly #live: Live;
  readonly #registry: Registry;
  readonly #problemWatch: ProblemWatch;
  readonly #logger: Logger;
  readonly #leases: Leases;
  readonly #bell = new Bell();
  readonly #cancels: readonly Cancel[];
  readonly #busy = new Set<string>();

  constructor(parts: {
    readonly host: StateHost;
    readonly proposer: Proposer;
    readonly live: Live;
    readonly registry: Registry;
    readonly problemWatch: ProblemWatch;
    readonly clock: Clock;
    readonly logger: Logger;
  }) {
    this.#host = parts.host;
    this.#proposer = parts.proposer;
    this.#live = parts.live;
    this.#registry = parts.registry;
    this.#problemWatch = parts.problemWatch;
    this.#logger = parts.logger;
    this.#leases = new Leases(parts.clock, (id, registrationId, silence) => {
      void this.#onSilence(id, registrationId, silence);
    });
    for (const key of this.#host.tables.sidecars.keys()) this.#track(key);
    this.#cancels = [
      this.#host.feed.on('sidecars', (keys) => {
        for (const key of keys) this.#track(key);
        this.#bell.ring();
      }),
      this.#host.feed.on('assignments', (keys) => {
        for (const key of keys) {
          if (this.#host.tables.assignments.get(key) === undefined) this.#live.forget(key);
        }
        this.#bell.ring();
      }),
    ];
  }

  /** Begins to judge silence; the leader does. */
  start(): void {
    this.#leases.start();
  }

  /** Stops judging; another one leads. */
  stop(): void {
    this.#leases.stop();
  }

  close(): void {
    this.stop();
    for (const cancel of this.#cancels) cancel();
  }

  /**
   * Adds a sidecar, or replaces the one with its id; its assignments stay. The services beside it become exactly
   * those that are given.
   */
  async register(
    info: SidecarInfo,
    services: readonly ServiceInfo[] = [],
    options: ProposeOptions = {},
  ): Promise<{
    readonly registrationId: number;
    readonly leaseTtlMs: number;
    readonly assignments: readonly Assignment[];
  }> {
    if (services.length > servicesMax) {
      throw new EtlError(
        'ETL_LIMIT_EXCEEDED',
        `services: ${services.length}, at most ${servicesMax}`,
      );
    }
    const { sidecarId, leaseTtlMs = defaultLeaseTtlMs } = info;
    const description = {
      sidecarId,
      namespace: info.namespace,
      podName: info.podName ?? '',
      zone: info.zone ?? '',
      endpoint: info.endpoint ?? '',
      offers: sortedUnique(info.offers ?? []),
      version: info.version ?? '',
      leaseTtlMs,
    };
    const body = { case: 'registerSidecar', value: { description } } as const;
    const { registrationId } = await this.#proposer.ask('registration', body, options);
    this.#leases.renew(sidecarId);
    await this.#setServices(sidecarId, leaseTtlMs, services);
    return {
      registrationId: toCount(registrationId),
      leaseTtlMs,
      assignments: this.assignmentsOf(sidecarId),
    };
  }

  /** Removes a sidecar and its services. One that is not there is no error. */
  async deregister(
    sidecarId: string,
    registrationId = 0,
    options: ProposeOptions = {},
  ): Promise<void> {
    const value = { sidecarId, registrationId: fromCount('registration_id', registrationId) };
    try {
      await this.#proposer.propose({ case: 'deregisterSidecar', value }, options);
    } catch (error) {
      if (!isAlreadyGone(error)) throw error;
    }
  }

  /**
   * A sign of life with a report. Answers with what differs from what the sidecar should run. Throws ETL_NOT_FOUND
   * when it has to register again.
   */
  async heartbeat(
    beat: SidecarHeartbeat,
  ): Promise<{ readonly deadlineMs: number; readonly change: AssignmentChange }> {
    const row = this.#registered(beat.sidecarId, beat.registrationId);
    this.#leases.renew(beat.sidecarId);
    for (const report of beat.pipelines) {
      const held = this.#host.tables.assignments.get(report.pipelineId);
      if (held?.sidecarId !== beat.sidecarId) continue;
      this.#live.report(beat.sidecarId, report);
      this.#problemWatch.reported(report, toAssignment(held).pipeline);
    }
    await this.#registry.heartbeatBeside(beat.sidecarId, beat.services ?? []);
    const health = toStoredHealth(beat.health);
    if (row.health !== health) {
      const { sidecarId } = beat;
      const value = { sidecarId, registrationId: row.registrationId, health };
      await this.#proposer.propose({ case: 'updateSidecarHealth', value });
    }
    const known = new Map(
      beat.pipelines.map(({ pipelineId, planVersion }) => [
        pipelineId,
        planVersion ?? this.assignment(pipelineId)?.planVersion ?? 0,
      ]),
    );
    return {
      deadlineMs: row.description?.leaseTtlMs ?? 0,
      change: this.#difference(beat.sidecarId, known),
    };
  }

  /**
   * What the sidecar is to run, then every change of it, until the signal aborts. A reader that is slow gets several
   * changes as one. Throws ETL_NOT_FOUND when the registration ends.
   */
  async *watch(
    sidecarId: string,
    options: {
      readonly registrationId: number;
      readonly known?: readonly KnownAssignment[];
      readonly signal: AbortSignal;
    },
  ): AsyncGenerator<AssignmentChange, void, void> {
    const { signal } = options;
    const known = new Map(options.known?.map((at) => [at.pipelineId, at.planVersion]));
    let isFirst = true;
    while (!signal.aborted) {
      const { rings } = this.#bell;
      this.#registered(sidecarId, options.registrationId);
      const change = this.#difference(sidecarId, known);
      if (isFirst || change.assign.length > 0 || change.revoke.length > 0) {
        isFirst = false;
        for (const { pipelineId, planVersion } of change.assign) known.set(pipelineId, planVersion);
        for (const { pipelineId } of change.revoke) known.delete(pipelineId);
        yield change;
      } else {
        await this.#bell.after(rings, signal);
      }
    }
  }

  get(sidecarId: string): RegisteredSidecar | undefined {
    const row = this.#host.tables.sidecars.get(sidecarId);
    return row === undefined ? undefined : this.#view(row);
  }

  /** All sidecars, in order of their ids. */
  list(): readonly RegisteredSidecar[] {
    return Array.from(this.#host.tables.sidecars.rows(), (row) => this.#view(row));
  }

  /** What a sidecar is to run, by pipeline. */
  assignmentsOf(sidecarId: string): readonly Assignment[] {
    return Array.from(this.#host.tables.assignments.rows())
      .filter((row) => row.sidecarId === sidecarId)
      .map(toAssignment);
  }

  /** Who runs a pipeline. */
  assignment(pipelineId: string): Assignment | undefined {
    const row = this.#host.tables.assignments.get(pipelineId);
    return row === undefined ? undefined : toAssignment(row);
  }

  async #setServices(
    sidecarId: string,
    leaseTtlMs: number,
    services: readonly ServiceInfo[],
  ): Promise<void> {
    const given = new Set(services.map((service) => service.serviceId));
    for (const row of Array.from(this.#host.tables.services.rows())) {
      const { serviceId = '', sidecarId: beside } = row.description ?? {};
      if (beside !== sidecarId || given.has(serviceId)) continue;
      const { registrationId } = row;
      await this.#proposer.propose({
        case: 'deregisterService',
        value: { serviceId, registrationId },
      });
    }
    for (const service of services) {
      const description = toDescription({ leaseTtlMs, ...service, sidecarId });
      await this.#proposer.propose({ case: 'registerService', value: { description } });
    }
  }

  #difference(sidecarId: string, known: ReadonlyMap<string, number>): AssignmentChange {
    const assign: Assignment[] = [];
    const wanted = new Set<string>();
    for (const row of this.#host.tables.assignments.rows()) {
      if (row.sidecarId !== sidecarId) continue;
      wanted.add(row.pipeline);
      if (known.get(row.pipeline) !== toCount(row.planVersion)) assign.push(toAssignment(row));
    }
    const revoke = Array.from(known, ([pipelineId, planVersion]) => ({ pipelineId, planVersion }))
      .filter(({ pipelineId }) => !wanted.has(pipelineId))
      .sort((a, b) => (a.pipelineId < b.pipelineId ? -1 : 1));
    return { assign, revoke, synced: true };
  }

  #registered(sidecarId: string, registrationId: number): StoredSidecar {
    const row = this.#host.tables.sidecars.get(sidecarId);
    if (row?.registrationId === fromCount('registration_id', registrationId)) return row;
    throw new EtlError(
      'ETL_NOT_FOUND',
      `sidecar ${sidecarId} has no registration ${registrationId}; register again`,
      { details: { sidecarId } },
    );
  }

  async #onSilence(sidecarId: string, registrationId: bigint, silence: Silence): Promise<void> {
    if (this.#busy.has(sidecarId)) return;
    this.#busy.add(sidecarId);
    try {
      if (silence === 'expired') {
        this.#logger.warn({ sidecarId }, 'sidecar removed: no heartbeat for three leases');
        await this.deregister(sidecarId, toCount(registrationId));
        this.#problemWatch.expired('sidecar', sidecarId);
      } else {
        const value = { sidecarId, registrationId, health: toStoredHealth('unhealthy') };
        await this.#proposer.propose({ case: 'updateSidecarHealth', value });
      }
    } catch (error) {
      this.#logger.warn(
        { err: error, sidecarId },
        'the silence of a sidecar could not be recorded',
      );
    } finally {
      this.#busy.delete(sidecarId);
    }
  }

  #track(sidecarId: string): void {
    const row = this.#host.tables.sidecars.get(sidecarId);
    if (row?.description === undefined) this.#leases.forget(sidecarId);
    else this.#leases.track(sidecarId, row.registrationId, row.description.leaseTtlMs);
  }

  #view(row: StoredSidecar): RegisteredSidecar {
    const { description } = row;
    if (description === undefined) {
      throw new EtlError('ETL_INTERNAL', 'a stored sidecar has no description');
    }
    const { sidecarId, namespace, podName, zone, endpoint, offers, version, leaseTtlMs } =
      description;
    return {
      sidecarId,
      namespace,
      podName,
      zone,
      endpoint,
      offers,
      version,
      leaseTtlMs,
      registrationId: toCount(row.registrationId),
      revision: toCount(row.revision),
      health: fromStoredHealth(row.health),
      registeredAtMs: msOfNs(row.registeredAtNs),
      lastHeartbeatAtMs: this.#leases.heardAtMs(sidecarId),
    };
  }
}
