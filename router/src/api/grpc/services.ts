// All gRPC services of a router on one server.

import type { Logger } from '@etl-router/core';
import { RouterAdmin } from '@etl-router/proto/admin';
import { BackupService } from '@etl-router/proto/backup';
import { CheckpointService } from '@etl-router/proto/checkpoint';
import { addService } from '@etl-router/proto/grpc';
import { addHealth, addReflection, type HealthReport } from '@etl-router/proto/introspection';
import { ServiceRegistry } from '@etl-router/proto/registry';
import { SidecarCoordinator } from '@etl-router/proto/sidecar';
import type { Server } from '@grpc/grpc-js';
import { createBackupService } from './backup-service.ts';
import { createCheckpointService } from './checkpoint-service.ts';
import type { GrpcContext } from './context.ts';
import { checkEpoch } from './operator-epoch.ts';
import { type BeforeCall, checkOperator, guarded } from './operator-only.ts';
import { createRegistryService } from './registry-service.ts';
import { createRouterAdminService } from './router-admin-service.ts';
import { createSidecarCoordinatorService } from './sidecar-coordinator-service.ts';

const services = [
  ServiceRegistry,
  CheckpointService,
  SidecarCoordinator,
  RouterAdmin,
  BackupService,
];

/** Adds the router's services, health and reflection. */
export function addRouterServices(
  server: Server,
  context: GrpcContext,
  logger: Logger,
): { setServing(serving: boolean): void } {
  const options = {
    onDefect: (error: unknown, method: string) =>
      logger.error({ err: error, method }, 'a call failed'),
  };
  addService(server, ServiceRegistry, createRegistryService(context), options);
  addService(server, CheckpointService, createCheckpointService(context), options);
  addService(server, SidecarCoordinator, createSidecarCoordinatorService(context), options);
  const before: BeforeCall = async (method, call) => {
    if (context.isClosed) checkOperator(call.certificate(), method.name);
    await checkEpoch(context, method, call);
  };
  const admin = guarded(RouterAdmin, createRouterAdminService(context), before);
  addService(server, RouterAdmin, admin, options);
  const backup = guarded(BackupService, createBackupService(context), before);
  addService(server, BackupService, backup, options);
  addReflection(server, services);
  const health: HealthReport = addHealth(server, services);
  return {
    setServing: (serving) => {
      for (const name of ['', ...services.map(({ typeName }) => typeName)])
        health.set(name, serving);
    },
  };
}
