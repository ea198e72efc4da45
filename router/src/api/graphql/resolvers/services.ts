// Resolvers of registered services.

import { EtlError } from '@etl-router/core';
import type { GraphQLResolveInfo } from 'graphql';
import { parseAddress } from '../../../config/parse.ts';
import type { RegisteredService, ServiceType } from '../../../server/service-view.ts';
import { answer } from './answers.ts';
import type { RouterContext } from './context.ts';
import { type Call, proposal } from './request.ts';

interface RegisterServiceInput {
  readonly serviceId: string;
  readonly serviceName: string;
  readonly serviceType: string;
  readonly endpoint: string;
  readonly labels?: readonly { readonly key: string; readonly value: string }[] | null;
  readonly groupId?: string | null;
}

/** `services`, `service` and their mutations. */
export function serviceResolvers({ router }: RouterContext): object {
  return {
    Query: {
      services: () => router.registry.list({ includeUnhealthy: true }).map(toService),
      service: (_: unknown, { serviceId }: { serviceId: string }) => {
        const service = router.registry.get(serviceId);
        return service === undefined ? null : toService(service);
      },
    },
    Mutation: {
      registerService: (
        _: unknown,
        { input }: { input: RegisterServiceInput },
        call: Call,
        info: GraphQLResolveInfo,
      ) =>
        answer(async () => {
          const description = {
            serviceId: input.serviceId,
            name: input.serviceName,
            namespace: 'default',
            type: input.serviceType.toLowerCase() as ServiceType,
            endpoint: toEndpoint(input.endpoint),
            labels: Object.fromEntries((input.labels ?? []).map(({ key, value }) => [key, value])),
            ...(input.groupId === undefined || input.groupId === null
              ? {}
              : { groupId: input.groupId }),
          };
          await router.registry.register(description, proposal(call, info));
          return `service ${input.serviceId} registered`;
        }),
      deregisterService: (
        _: unknown,
        { serviceId }: { serviceId: string },
        call: Call,
        info: GraphQLResolveInfo,
      ) =>
        answer(async () => {
          if (router.registry.get(serviceId) === undefined) {
            throw new EtlError(
              'ETL_NOT_FOUND',
              `service ${JSON.stringify(serviceId)} is not registered`,
            );
          }
          await router.registry.deregister({ serviceId }, proposal(call, info));
          return `service ${serviceId} deregistered`;
        }),
      renewServiceLease: (_: unknown, { serviceId }: { serviceId: string }) =>
        answer(async () => {
          router.checkLeads('renew the lease');
          router.registry.renewLease(serviceId);
          return undefined;
        }),
    },
  };
}

/** `host:port`, `http://host:port` or `https://host:port`. */
function toEndpoint(text: string): {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
} {
  const tls = text.startsWith('https://');
  const parsed = parseAddress(text.replace(/^https?:\/\//, ''));
  if ('fault' in parsed) throw new EtlError('ETL_INVALID_ARGUMENT', `endpoint: ${parsed.fault}`);
  return { ...parsed.value, tls };
}

const health: { readonly [health in RegisteredService['health']]: string } = {
  healthy: 'HEALTHY',
  degraded: 'DEGRADED',
  unhealthy: 'UNHEALTHY',
  draining: 'UNKNOWN',
};

function toService(service: RegisteredService): object {
  const { host, port, tls } = service.endpoint;
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return {
    serviceId: service.serviceId,
    serviceName: service.name,
    serviceType: service.type.toUpperCase(),
    endpoint: tls ? `https://${address}` : address,
    labels: Object.entries(service.labels).map(([key, value]) => ({ key, value })),
    health: health[service.health],
    groupId: service.groupId === '' ? null : service.groupId,
    registeredAt: service.registeredAtMs,
    lastHeartbeat: service.lastHeartbeatAtMs ?? service.registeredAtMs,
  };
}
