// Stages behind TLS, with authorities that openssl makes for the test.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Stage } from '@etl-router/pipeline';
import { addService } from '@etl-router/proto/grpc';
import { SinkService } from '@etl-router/proto/sink';
import { GrpcSink, toGrpcTarget } from '@etl-router/sidecar';
import { ServerCredentials } from '@grpc/grpc-js';
import { batchOf, lane, listen, never, sinkHandlers } from './fixture.ts';

const directory = mkdtempSync(join(tmpdir(), 'etl-tls-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const path = (name: string): string => join(directory, name);

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'] as const;

/** An authority: `name.key` and `name.pem`. */
function makeAuthority(name: string): void {
  const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`] as const;
  openssl('req', '-x509', ...newKey, ...files, '-days', '2', '-subj', `/CN=${name}`);
}

/** A key and a certificate for 127.0.0.1, signed by an authority. */
function makeServer(name: string, authority: string): void {
  openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', '/CN=server');
  writeFileSync(path('ext'), 'subjectAltName=IP:127.0.0.1\n');
  const signer = ['-CA', `${authority}.pem`, '-CAkey', `${authority}.key`, '-CAcreateserial'];
  openssl(
    ...['x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, '-days', '2'],
    ...[...signer, '-extfile', 'ext'],
  );
}

makeAuthority('right');
makeAuthority('wrong');
makeServer('server', 'right');

const serverCredentials = ServerCredentials.createSsl(null, [
  { private_key: readFileSync(path('server.key')), cert_chain: readFileSync(path('server.pem')) },
]);

function stageWith(tls: { readonly [name: string]: string }, endpoint: string): Stage {
  const batch = { maxRecords: undefined, maxBytes: undefined, maxWaitMs: undefined };
  const connector = { type: 'grpc', config: { endpoint, tls } };
  return { name: 'mine', kind: 'sink', ref: 'mine', connector, batch };
}

test('a service whose certificate the given authority signed is used', async (t) => {
  let writes = 0;
  const handlers = sinkHandlers({
    writeBatch: () => {
      writes++;
      return {};
    },
  });
  const { address } = await listen(
    t,
    (server) => addService(server, SinkService, handlers),
    serverCredentials,
  );
  const stage = stageWith({ caCert: path('right.pem') }, address);
  const sink = await GrpcSink.connect(toGrpcTarget(lane.pipeline, stage, undefined));
  t.after(() => sink.close());
  await sink.openLane(lane, 1);
  await sink.write(batchOf(3), never);
  assert.equal(writes, 1);
});

test('a service that another authority signed is refused, and the error says which stage and where', async (t) => {
  const { address } = await listen(
    t,
    (server) => addService(server, SinkService, sinkHandlers()),
    serverCredentials,
  );
  const stage = stageWith({ caCert: path('wrong.pem') }, address);
  await assert.rejects(GrpcSink.connect(toGrpcTarget(lane.pipeline, stage, undefined)), {
    code: 'ETL_UNAVAILABLE',
    message: new RegExp(`^stage mine at ${address}: .*certificate`),
  });
});

test('an authority file that is not there is named', () => {
  const missing = stageWith({ caCert: path('missing.pem') }, '127.0.0.1:1');
  assert.throws(() => toGrpcTarget(lane.pipeline, missing, undefined), {
    code: 'ETL_CONFIG_INVALID',
    message: /stage mine .*tls\.caCert: .*missing\.pem can not be read \(ENOENT\)/,
  });
});
