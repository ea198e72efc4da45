// Health and reflection as probes and tools see them, over a real connection.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { addHealth, addReflection, type HealthReport } from '@etl-router/proto/introspection';
import { SidecarDataPlane } from '@etl-router/proto/sidecar';
import { SourceService } from '@etl-router/proto/source';
import { ChannelCredentials, Client, type ServiceError, status } from '@grpc/grpc-js';
import { startServer } from './grpc/fixture.ts';

const raw = (bytes: Buffer): Buffer => bytes;

function clientOf(t: TestContext, address: string): Client {
  const client = new Client(address, ChannelCredentials.createInsecure());
  t.after(() => client.close());
  return client;
}

function text(tag: number, value: string): Buffer {
  return Buffer.concat([Buffer.of(tag, Buffer.byteLength(value)), Buffer.from(value)]);
}

function check(client: Client, service: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const answer = (error: ServiceError | null, bytes?: Buffer): void => {
    if (error !== null) reject(error);
    else resolve(bytes?.[1] ?? 0);
  };
  client.makeUnaryRequest('/grpc.health.v1.Health/Check', raw, raw, text(0x0a, service), answer);
  return promise;
}

test('health answers for the server and for each service, and an unknown one is not found', async (t) => {
  let health: HealthReport | undefined;
  const { address } = await startServer(t, {
    prepare: (server) => {
      health = addHealth(server, [SourceService]);
    },
  });
  const client = clientOf(t, address);
  const [serving, notServing] = [1, 2];
  assert.equal(await check(client, ''), notServing);
  assert.equal(await check(client, 'etl.source.v1.SourceService'), notServing);
  health?.set('', true);
  health?.set('etl.source.v1.SourceService', true);
  assert.equal(await check(client, ''), serving);
  assert.equal(await check(client, 'etl.source.v1.SourceService'), serving);
  await assert.rejects(check(client, 'etl.sink.v1.SinkService'), { code: status.NOT_FOUND });
});

/** Asks reflection once and returns the bytes of its answer. */
async function reflect(client: Client, request: Buffer, version: string): Promise<Buffer> {
  const call = client.makeBidiStreamRequest(
    `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    raw,
    raw,
  );
  call.write(request);
  call.end();
  const answers: Buffer[] = [];
  for await (const bytes of call) answers.push(bytes as Buffer);
  return Buffer.concat(answers);
}

test('reflection lists the services and gives the definitions a client needs, all of them', async (t) => {
  const warnings = t.mock.method(console, 'warn', () => undefined);
  const { address } = await startServer(t, {
    prepare: (server) => addReflection(server, [SourceService, SidecarDataPlane]),
  });
  assert.equal(warnings.mock.callCount(), 0);
  const client = clientOf(t, address);
  for (const version of ['v1', 'v1alpha']) {
    const listed = (await reflect(client, text(0x3a, ''), version)).toString('latin1');
    assert.match(listed, /etl\.source\.v1\.SourceService/);
    assert.match(listed, /etl\.sidecar\.v1\.SidecarDataPlane/);
    assert.doesNotMatch(listed, /SidecarCoordinator/);
    for (const symbol of ['etl.source.v1.SourceService', 'etl.record.v1.RecordBatch']) {
      const answer = await reflect(client, text(0x22, symbol), version);
      assert.match(answer.toString('latin1'), /RecordBatch/);
    }
  }
});

test('a definition that reflection gave can be decoded as one', async (t) => {
  const { address } = await startServer(t, {
    prepare: (server) => addReflection(server, [SourceService]),
  });
  const request = text(0x1a, 'etl/stage/v1/stage.proto');
  const answer = await reflect(clientOf(t, address), request, 'v1');
  const at = answer.indexOf(text(0x0a, 'etl/stage/v1/stage.proto'), request.length + 4);
  const file = fromBinary(FileDescriptorProtoSchema, answer.subarray(at));
  assert.equal(file.package, 'etl.stage.v1');
  assert.ok(file.messageType.some(({ name }) => name === 'Credit'));
});
