import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RouterAdmin } from '@etl-router/proto/admin';
import { BackupService } from '@etl-router/proto/backup';
import { createClient } from '@etl-router/proto/grpc';
import { ChannelCredentials } from '@grpc/grpc-js';
import { checkEpoch } from '../../src/api/grpc/operator-epoch.ts';
import { sourceText } from '../server/harness.ts';
import { ReviewServer } from './access/review-server.ts';
import { atEnd, makeConfig, makeDirectory, saying, start } from './fixture.ts';

const under = (epoch: string) => ({ metadata: { 'etl-operator-epoch': epoch } });
const change = { manifest: sourceText };

test('who leads later fences who led before, for all changes and also after a restart', async (t) => {
  const config = makeConfig(await makeDirectory(t));
  const first = await start(t, { config });
  await first.admin.applyObject(change, under('5'));
  await first.admin.applyObject(change, under('5'));
  await first.admin.applyObject(change, under('7'));
  assert.equal((await first.admin.getClusterStatus({})).operatorEpoch, 7n);
  await first.running.close();
  const { admin, address } = await start(t, { config });
  assert.equal((await admin.getClusterStatus({})).operatorEpoch, 7n);
  const backup = createClient(BackupService, address, ChannelCredentials.createInsecure());
  atEnd(t, () => backup.close());
  const fenced = saying('ETL_FENCED', /operator epoch 6 is over: one that leads since has 7/);
  const id = { kind: 'EtlSource', namespace: 'shop', name: 'orders' };
  const changes = [
    admin.applyObject(change, under('6')),
    admin.deleteObject({ name: id }, under('6')),
    admin.addLearner({ name: '2', raftId: 2n, address: '127.0.0.1:1' }, under('6')),
    admin.removeMember({ raftId: 1n, force: true }, under('6')),
    admin.transferLeadership({}, under('6')),
    backup.createSnapshot({ snapshotId: 'a' }, under('6')),
    backup.deleteSnapshot({ snapshotId: 'a' }, under('6')),
    backup.restoreSnapshot({ snapshotId: 'a' }, under('6')),
    backup.uploadSnapshot(
      (async function* () {
        yield { snapshot: { snapshotId: 'a' } };
      })(),
      under('6'),
    ),
  ];
  await Promise.all(changes.map((call) => assert.rejects(call, fenced)));
  await admin.getClusterStatus({}, under('6'));
  assert.deepEqual((await backup.listSnapshots({}, under('6'))).snapshots, []);
  await admin.applyObject(change, under('7'));
});

test('what is no epoch is refused, and without access control none is needed', async (t) => {
  const { admin } = await start(t);
  await admin.applyObject(change);
  for (const wrong of [
    '',
    '0',
    '-1',
    '1.5',
    '0x5',
    '05',
    'five',
    '9007199254740992',
    '9'.repeat(30),
  ])
    await assert.rejects(
      admin.applyObject(change, under(wrong)),
      saying('ETL_INVALID_ARGUMENT', /etl-operator-epoch: must be a whole number/),
      wrong,
    );
  assert.equal((await admin.getClusterStatus({})).operatorEpoch, 0n);
});

test('in a cluster with access control a change without an epoch is refused, a look is not', async (t) => {
  const directory = await makeDirectory(t);
  const { flags } = await ReviewServer.start(t, directory, { rights: {} });
  const { admin } = await start(t, { config: makeConfig(`${directory}/data`, flags) });
  const missing = saying('ETL_INVALID_ARGUMENT', /^etl-operator-epoch: is missing/);
  await assert.rejects(admin.applyObject(change), missing);
  await admin.listObjects({});
  await admin.applyObject(change, under('1'));
});

test('each method is a look or a change, and what is new is a change until it is said', async () => {
  const looks: string[] = [];
  for (const method of [...RouterAdmin.methods, ...BackupService.methods]) {
    const call = { header: () => 'none', signal: new AbortController().signal };
    const refusal = await checkEpoch({ needsEpoch: true } as never, method, call).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (refusal === undefined) looks.push(method.name);
  }
  assert.deepEqual(looks, [
    ...['GetObject', 'ListObjects', 'GetPipeline', 'ListPipelines', 'GetClusterStatus'],
    ...['GetMetrics', 'ListDeadLetters', 'GetDeadLetter'],
    ...['StreamSnapshot', 'ListSnapshots', 'GetStateMetadata'],
  ]);
});
