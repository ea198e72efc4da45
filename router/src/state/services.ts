// Services that pipelines can use. Leases are not here: the leader watches heartbeats and proposes the transitions
// (server/registry.ts). A registration is named by its revision, so a late farewell of an earlier instance can not
// remove a later one.

import { create } from '@bufbuild/protobuf';
import {
  type DeregisterService,
  type RegisterService,
  RegistrationResultSchema,
  type ServiceDescription,
  StoredHealth,
  StoredServiceSchema,
  StoredServiceType,
  type UpdateServiceHealth,
} from '@etl-router/proto';
import { leaveAllGroups } from './groups.ts';
import { maxListItems, maxRows } from './limits.ts';
import {
  checkCount,
  checkId,
  checkLabel,
  checkOptionalId,
  checkPairs,
  checkSorted,
  checkText,
  checkTtl,
  invalid,
} from './names.ts';
import { checkRoom, conflict, done, notFound, type Outcome } from './refusal.ts';
import type { Context } from './tables.ts';

const host = /^[A-Za-z0-9](?:[A-Za-z0-9.:_-]*[A-Za-z0-9])?$|^::[A-Fa-f0-9:.]*$/;
const maxWeight = 10_000;

export function registerService(context: Context, command: RegisterService): Outcome {
  const { services, sidecars } = context.tables;
  const { description } = command;
  if (description === undefined) throw invalid('description', 'is required');
  checkDescription(description);
  const { serviceId, sidecarId } = description;
  if (sidecarId !== '' && sidecars.get(sidecarId) === undefined) {
    throw notFound('sidecar', sidecarId);
  }
  if (services.get(serviceId) === undefined) {
    checkRoom('services', services.size, maxRows.services);
  }
  const registrationId = context.revise();
  services.put(
    serviceId,
    create(StoredServiceSchema, {
      description,
      registrationId,
      revision: registrationId,
      health: StoredHealth.HEALTHY,
      registeredAtNs: context.nowNs,
      healthChangedAtNs: context.nowNs,
    }),
  );
  return { case: 'registration', value: create(RegistrationResultSchema, { registrationId }) };
}

export function deregisterService(context: Context, command: DeregisterService): Outcome {
  const { services } = context.tables;
  const row = services.get(command.serviceId);
  if (row === undefined) throw notFound('service', command.serviceId);
  checkRegistration('service', command.serviceId, command.registrationId, row.registrationId);
  removeService(context, command.serviceId);
  return done;
}

/** Removes a service, and the member it was from every consumer group. */
export function removeService(context: Context, serviceId: string): void {
  context.tables.services.delete(serviceId);
  context.revise();
  leaveAllGroups(context, serviceId);
}

export function updateServiceHealth(context: Context, command: UpdateServiceHealth): Outcome {
  const { services } = context.tables;
  const row = services.get(command.serviceId);
  if (row === undefined) throw notFound('service', command.serviceId);
  checkRegistration('service', command.serviceId, command.registrationId, row.registrationId);
  checkHealth(command.health);
  checkText('message', command.message);
  if (row.health === command.health && row.healthMessage === command.message) return done;
  services.put(command.serviceId, {
    ...row,
    health: command.health,
    healthMessage: command.message,
    healthChangedAtNs: row.health === command.health ? row.healthChangedAtNs : context.nowNs,
    revision: context.revise(),
  });
  return done;
}

/** Throws ETL_CONFLICT when another registration than the named one holds; 0 names any. */
export function checkRegistration(what: string, id: string, named: bigint, held: bigint): void {
  if (named === 0n || named === held) return;
  throw conflict(
    `${what} ${id} registered again since; its registration is ${held}, not ${named}`,
    {
      what,
      id,
    },
  );
}

/** Throws unless `health` is a known state. */
export function checkHealth(health: StoredHealth): void {
  if (health >= StoredHealth.HEALTHY && health <= StoredHealth.DRAINING) return;
  throw invalid('health', 'must be healthy, degraded, unhealthy or draining');
}

/** Throws unless the list is short, sorted and of legal ids. */
export function checkIds(field: string, ids: readonly string[]): void {
  checkCount(field, ids.length, maxListItems);
  checkSorted(field, ids);
  for (const id of ids) checkId(field, id);
}

function checkDescription(description: ServiceDescription): void {
  checkId('service_id', description.serviceId);
  checkId('name', description.name);
  checkLabel('namespace', description.namespace);
  const { type, endpoint } = description;
  if (!(type >= StoredServiceType.SOURCE && type <= StoredServiceType.LOOKUP)) {
    throw invalid('type', 'must be source, transform, sink or lookup');
  }
  if (endpoint === undefined) throw invalid('endpoint', 'is required');
  if (endpoint.host.length > 253 || !host.test(endpoint.host)) {
    throw invalid('endpoint.host', 'must be a DNS name or an address, IPv6 without brackets');
  }
  if (endpoint.port < 1 || endpoint.port > 65_535) {
    throw invalid('endpoint.port', 'must be 1 to 65535');
  }
  checkPairs('labels', description.labels);
  checkOptionalId('group_id', description.groupId);
  checkOptionalId('version', description.version);
  checkOptionalId('sidecar_id', description.sidecarId);
  checkIds('capabilities', description.capabilities);
  checkIds('record_types', description.recordTypes);
  if (description.weight > maxWeight) throw invalid('weight', `must be at most ${maxWeight}`);
  checkTtl('lease_ttl_ms', description.leaseTtlMs);
}
