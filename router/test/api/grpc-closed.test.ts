import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { type TestContext, test } from 'node:test';
import { MemberRole, RouterAdmin } from '@etl-router/proto/admin';
import { BackupService } from '@etl-router/proto/backup';
import { createClient } from '@etl-router/proto/grpc';
import { ServiceRegistry } from '@etl-router/proto/registry';
import { ChannelCredentials } from '@grpc/grpc-js';
import type { TlsFiles } from '../../src/tls/certificates.ts';
import { Authority } from '../authority.ts';
import { atEnd, failure, makeConfig, makeDirectory, saying, start } from './fixture.ts';

const serverNames = 'DNS:localhost,IP:127.0.0.1';
const operatorName = 'DNS:etl-operator,URI:etl-router://operator';

interface Closed {
  readonly authority: Authority;
  readonly address: string;
  readonly server: TlsFiles;
  readonly directory: string;
}

async function startClosed(t: TestContext): Promise<Closed> {
  const directory = await makeDirectory(t);
  const authority = await Authority.create(directory);
  const server = await authority.issue('server', serverNames);
  const flags = {
    'tls-ca-file': server.caFile,
    'tls-cert-file': server.certFile,
    'tls-key-file': server.keyFile,
  };
  const config = makeConfig(`${directory}/data`, flags);
  const { address } = await start(t, { config });
  return { authority, address, server, directory };
}

async function credentialsOf(files: TlsFiles): Promise<ChannelCredentials> {
  const [ca, key, cert] = await Promise.all(
    [files.caFile, files.keyFile, files.certFile].map((path) => readFile(path)),
  );
  return ChannelCredentials.createSsl(ca, key, cert);
}

async function drained(answers: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of answers);
}

interface Clients {
  readonly admin: ReturnType<typeof createClient<typeof RouterAdmin>>;
  readonly backup: ReturnType<typeof createClient<typeof BackupService>>;
  readonly registry: ReturnType<typeof createClient<typeof ServiceRegistry>>;
}

function clientsOf(t: TestContext, address: string, credentials: ChannelCredentials): Clients {
  const options = { channelOptions: { 'grpc.ssl_target_name_override': 'localhost' } };
  const clients = {
    admin: createClient(RouterAdmin, address, credentials, options),
    backup: createClient(BackupService, address, credentials, options),
    registry: createClient(ServiceRegistry, address, credentials, options),
  };
  atEnd(t, () => {
    for (const client of Object.values(clients)) client.close();
  });
  return clients;
}

test('the operator’s certificate opens the admin and backup services', async (t) => {
  const { authority, address } = await startClosed(t);
  const files = await authority.issue('operator', operatorName);
  const { admin, backup } = clientsOf(t, address, await credentialsOf(files));
  const { members } = await admin.getClusterStatus({});
  assert.deepEqual(
    members.map(({ role }) => role),
    [MemberRole.LEADER],
  );
  assert.deepEqual((await backup.listSnapshots({})).snapshots, []);
});

const strangers = [
  'DNS:etl-operator',
  'URI:etl-router://operator/1',
  'URI:etl-router://operators',
  'URI:etl-router://shop/operator',
  'URI:https://operator',
  'email:etl-router://operator',
  'DNS:URI.etl-router.operator',
];

test('any other certificate of the authority opens the registry and nothing that is the operator’s', async (t) => {
  const { authority, address } = await startClosed(t);
  for (const [at, names] of strangers.entries()) {
    const files = await authority.issue(`stranger${at}`, names);
    const { admin, backup, registry } = clientsOf(t, address, await credentialsOf(files));
    await registry.listServices({});
    const refused = saying('ETL_PERMISSION_DENIED', /URI:etl-router:\/\/operator/);
    await assert.rejects(admin.getClusterStatus({}), refused, names);
    await assert.rejects(admin.transferLeadership({}), refused, names);
    await assert.rejects(backup.listSnapshots({}), refused, names);
    await assert.rejects(drained(backup.streamSnapshot({ snapshotId: 'a' })), refused, names);
    await assert.rejects(
      backup.uploadSnapshot(
        (async function* () {
          yield { snapshot: { snapshotId: 'a' } };
        })(),
      ),
      refused,
      names,
    );
  }
});

test('no certificate, one of another authority and plaintext reach nothing', async (t) => {
  const { address, server, directory } = await startClosed(t);
  const other = await Authority.create(directory, 'other');
  const foreign = await other.issue('operator', operatorName);
  const ca = await readFile(server.caFile);
  const bad = [
    ChannelCredentials.createSsl(ca),
    await credentialsOf({ ...foreign, caFile: server.caFile }),
    ChannelCredentials.createInsecure(),
  ];
  for (const credentials of bad) {
    const { admin, registry } = clientsOf(t, address, credentials);
    assert.equal((await failure(admin.getClusterStatus({}))).code, 'ETL_UNAVAILABLE');
    assert.equal((await failure(registry.listServices({}))).code, 'ETL_UNAVAILABLE');
  }
});
