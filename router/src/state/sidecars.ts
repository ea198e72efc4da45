// Sidecars: who can run pipelines. A sidecar that comes back under its id keeps its assignments and gets a new
// registration; one that goes takes the services beside it along.

import { create } from '@bufbuild/protobuf';
import {
  type DeregisterSidecar,
  type RegisterSidecar,
  RegistrationResultSchema,
  type SidecarDescription,
  StoredHealth,
  StoredSidecarSchema,
  type UpdateSidecarHealth,
} from '@etl-router/proto';
import { maxIdLength, maxRows } from './limits.ts';
import { checkId, checkLabel, checkOptionalId, checkText, checkTtl, invalid } from './names.ts';
import { checkRoom, done, notFound, type Outcome } from './refusal.ts';
import { checkHealth, checkIds, checkRegistration, removeService } from './services.ts';
import type { Context } from './tables.ts';

export function registerSidecar(context: Context, command: RegisterSidecar): Outcome {
  const { sidecars } = context.tables;
  const { description } = command;
  if (description === undefined) throw invalid('description', 'is required');
  checkDescription(description);
  if (sidecars.get(description.sidecarId) === undefined) {
    checkRoom('sidecars', sidecars.size, maxRows.sidecars);
  }
  const registrationId = context.revise();
  sidecars.put(
    description.sidecarId,
    create(StoredSidecarSchema, {
      description,
      registrationId,
      revision: registrationId,
      health: StoredHealth.HEALTHY,
      registeredAtNs: context.nowNs,
    }),
  );
  return { case: 'registration', value: create(RegistrationResultSchema, { registrationId }) };
}

export function deregisterSidecar(context: Context, command: DeregisterSidecar): Outcome {
  const { sidecars, services } = context.tables;
  const row = sidecars.get(command.sidecarId);
  if (row === undefined) throw notFound('sidecar', command.sidecarId);
  checkRegistration('sidecar', command.sidecarId, command.registrationId, row.registrationId);
  sidecars.delete(command.sidecarId);
  for (const serviceId of services.keys()) {
    const beside = services.get(serviceId)?.description?.sidecarId === command.sidecarId;
    if (beside) removeService(context, serviceId);
  }
  context.revise();
  return done;
}

export function updateSidecarHealth(context: Context, command: UpdateSidecarHealth): Outcome {
  const { sidecars } = context.tables;
  const row = sidecars.get(command.sidecarId);
  if (row === undefined) throw notFound('sidecar', command.sidecarId);
  checkRegistration('sidecar', command.sidecarId, command.registrationId, row.registrationId);
  checkHealth(command.health);
  if (row.health === command.health) return done;
  sidecars.put(command.sidecarId, {
    ...row,
    health: command.health,
    revision: context.revise(),
  });
  return done;
}

function checkDescription(description: SidecarDescription): void {
  checkId('sidecar_id', description.sidecarId);
  checkOptionalId('pod_name', description.podName);
  checkLabel('namespace', description.namespace);
  checkOptionalId('zone', description.zone);
  checkText('endpoint', description.endpoint, maxIdLength + 10);
  checkIds('offers', description.offers);
  checkOptionalId('version', description.version);
  checkTtl('lease_ttl_ms', description.leaseTtlMs);
}
