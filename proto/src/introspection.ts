// Health and reflection on a grpc-js server, for probes and for tools such as grpcurl. Kept apart from the adapter
// because what they load costs more than all the rest.

import { type DescService, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { filesBehind } from './grpc/raw.ts';

/** Answers grpc.reflection.v1 and v1alpha with the descriptors of `services` and of all they need. */
export function addReflection(server: Server, services: readonly DescService[]): void {
  const files = new Set(services.flatMap((service) => filesBehind(service.file)));
  const fileDescriptorProtos = Array.from(files, (file) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)),
  );
  const definition = { files: { format: '', type: {}, fileDescriptorProtos } };
  new ReflectionService(
    definition as unknown as ConstructorParameters<typeof ReflectionService>[0],
    {
      services: services.map((service) => service.typeName),
    },
  ).addToServer(server);
}

/** What grpc.health.v1 answers. */
export interface HealthReport {
  /** Sets the health of a service by its full name, or of the server as a whole (`''`). */
  set(service: string, serving: boolean): void;
}

/** Answers grpc.health.v1. The server as a whole and each of `services` begin as not serving. */
export function addHealth(server: Server, services: readonly DescService[]): HealthReport {
  const names = ['', ...services.map((service) => service.typeName)];
  const health = new HealthImplementation(
    Object.fromEntries(names.map((name) => [name, 'NOT_SERVING'])),
  );
  health.addToServer(server as unknown as Parameters<typeof health.addToServer>[0]);
  return {
    set: (service, serving) => health.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING'),
  };
}
