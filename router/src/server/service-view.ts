// Services as the server's objects speak of them: plain values, whatever carries them in and out.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import {
  type ServiceDescriptionSchema,
  StoredHealth,
  type StoredPair,
  type StoredService,
  StoredServiceType,
} from '@etl-router/proto';
import { msOfNs, toCount } from './numbers.ts';

export const serviceTypes = ['source', 'transform', 'sink', 'lookup'] as const;
export type ServiceType = (typeof serviceTypes)[number];

export const healths = ['healthy', 'degraded', 'unhealthy', 'draining'] as const;
export type Health = (typeof healths)[number];

const storedTypes: { readonly [type in ServiceType]: StoredServiceType } = {
  source: StoredServiceType.SOURCE,
  transform: StoredServiceType.TRANSFORM,
  sink: StoredServiceType.SINK,
  lookup: StoredServiceType.LOOKUP,
};
const storedHealths: { readonly [health in Health]: StoredHealth } = {
  healthy: StoredHealth.HEALTHY,
  degraded: StoredHealth.DEGRADED,
  unhealthy: StoredHealth.UNHEALTHY,
  draining: StoredHealth.DRAINING,
};

/** Where a service listens. */
export interface Endpoint {
  /** DNS name or address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/** What a service says of itself. */
export interface ServiceInfo {
  /** Unique for the instance. */
  readonly serviceId: string;
  /** What pipelines call it. */
  readonly name: string;
  readonly namespace: string;
  readonly type: ServiceType;
  readonly endpoint: Endpoint;
  readonly labels?: { readonly [name: string]: string };
  readonly groupId?: string;
  readonly version?: string;
  readonly capabilities?: readonly string[];
  readonly recordTypes?: readonly string[];
  /** 0: it does not say. */
  readonly maxConcurrentRequests?: number;
  /** 1 to 10,000; 0 means 100. */
  readonly weight?: number;
  /** Sidecar beside it. */
  readonly sidecarId?: string;
  /** Longest silence; default 30,000. */
  readonly leaseTtlMs?: number;
}

/** A service as it is registered. */
export interface RegisteredService extends Required<ServiceInfo> {
  readonly registrationId: number;
  readonly revision: number;
  readonly health: Health;
  readonly healthMessage: string;
  readonly registeredAtMs: number;
  /** Its last sign of life as far as this node knows. */
  readonly lastHeartbeatAtMs: number | undefined;
  /** Partitions it owns in its consumer group. */
  readonly partitions: readonly string[];
}

const defaultLeaseTtlMs = 30_000;
const defaultWeight = 100;

/** The stored form of what a service says. */
export function toDescription(
  info: ServiceInfo,
): MessageInitShape<typeof ServiceDescriptionSchema> {
  return {
    serviceId: info.serviceId,
    name: info.name,
    namespace: info.namespace,
    type: storedTypes[info.type],
    endpoint: { ...info.endpoint },
    labels: toPairs(info.labels ?? {}),
    groupId: info.groupId ?? '',
    version: info.version ?? '',
    capabilities: sortedUnique(info.capabilities ?? []),
    recordTypes: sortedUnique(info.recordTypes ?? []),
    maxConcurrentRequests: info.maxConcurrentRequests ?? 0,
    weight: info.weight ?? 0,
    sidecarId: info.sidecarId ?? '',
    leaseTtlMs: info.leaseTtlMs ?? defaultLeaseTtlMs,
  };
}

/** A stored service as others see it. */
export function toRegisteredService(
  row: StoredService,
  soft: {
    readonly lastHeartbeatAtMs: number | undefined;
    readonly partitions: readonly string[];
  },
): RegisteredService {
  const { description } = row;
  if (description?.endpoint === undefined) {
    throw new EtlError('ETL_INTERNAL', 'a stored service has no description');
  }
  const { host, port, tls } = description.endpoint;
  return {
    serviceId: description.serviceId,
    name: description.name,
    namespace: description.namespace,
    type: serviceTypeOf(description.type),
    endpoint: { host, port, tls },
    labels: fromPairs(description.labels),
    groupId: description.groupId,
    version: description.version,
    capabilities: description.capabilities,
    recordTypes: description.recordTypes,
    maxConcurrentRequests: description.maxConcurrentRequests,
    weight: description.weight === 0 ? defaultWeight : description.weight,
    sidecarId: description.sidecarId,
    leaseTtlMs: description.leaseTtlMs,
    registrationId: toCount(row.registrationId),
    revision: toCount(row.revision),
    health: fromStoredHealth(row.health),
    healthMessage: row.healthMessage,
    registeredAtMs: msOfNs(row.registeredAtNs),
    ...soft,
  };
}

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

/** Whether the service is one of those asked for. */
export function selects(filter: ServiceFilter, service: RegisteredService): boolean {
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

/** `host:port`, with brackets around IPv6. */
export function formatEndpoint({ host, port }: Pick<Endpoint, 'host' | 'port'>): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The type of a stored service. */
export function serviceTypeOf(stored: StoredServiceType): ServiceType {
  return serviceTypes.find((type) => storedTypes[type] === stored) ?? 'source';
}

export function toStoredHealth(health: Health): StoredHealth {
  return storedHealths[health];
}

export function fromStoredHealth(health: StoredHealth): Health {
  return healths.find((known) => storedHealths[known] === health) ?? 'unhealthy';
}

/** Names and values in the order they are stored in. */
export function toPairs(map: {
  readonly [name: string]: string;
}): { readonly name: string; readonly value: string }[] {
  return Object.entries(map)
    .map(([name, value]) => ({ name, value }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Stored names and values as a map without a prototype. */
export function fromPairs(pairs: readonly StoredPair[]): { readonly [name: string]: string } {
  const map: { [name: string]: string } = Object.create(null) as { [name: string]: string };
  for (const { name, value } of pairs) map[name] = value;
  return map;
}

export function sortedUnique(values: readonly string[]): string[] {
  return Array.from(new Set(values)).sort();
}
