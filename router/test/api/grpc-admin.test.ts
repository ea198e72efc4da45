import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ClusterHealth, FindingSeverity, MemberRole } from '@etl-router/proto/admin';
import { ChannelCredentials, Client } from '@grpc/grpc-js';
import { allText, pipelineText, sinkText, sourceText } from '../server/harness.ts';
import { failure, healthOf, saying, start, uint64Max } from './fixture.ts';

const orders = { namespace: 'shop', name: 'orders' };

/** A router with the pipeline `shop/orders`, which nobody runs. */
async function withOrders(t: TestContext) {
  const fixture = await start(t);
  for (const manifest of [sourceText, sinkText, pipelineText]) {
    await fixture.admin.applyObject({ manifest });
  }
  return fixture;
}

test('an object is created, left as it is, changed, read and deleted', async (t) => {
  const { admin } = await start(t);
  const created = await admin.applyObject({ manifest: sourceText, requestId: 'a' });
  assert.deepEqual([created.created, created.changed], [true, true]);
  const version = created.object?.resourceVersion ?? 0n;
  const same = await admin.applyObject({ manifest: sourceText });
  assert.deepEqual([same.created, same.changed], [false, false]);
  assert.equal(same.object?.resourceVersion, version);
  const manifest = sourceText.replace('in.jsonl', 'other.jsonl');
  const tried = await admin.applyObject({ manifest, validateOnly: true });
  assert.equal(tried.changed, true);
  await assert.rejects(
    admin.applyObject({ manifest, expectedVersion: 0n }),
    saying('ETL_CONFLICT', /./),
  );
  const changed = await admin.applyObject({ manifest, expectedVersion: version });
  assert.deepEqual([changed.created, changed.changed], [false, true]);
  const name = { kind: 'EtlSource', namespace: 'shop', name: 'in' };
  const { object } = await admin.getObject({ name });
  assert.match(Buffer.from(object?.specJson ?? []).toString(), /other\.jsonl/);
  assert.equal(object?.conditions[0]?.type, 'Accepted');
  await admin.deleteObject({ name });
  await assert.rejects(admin.getObject({ name }), saying('ETL_NOT_FOUND', /EtlSource shop\/in/));
});

test('manifests that are wrong are refused with every fault, and validation lists them', async (t) => {
  const { admin } = await start(t);
  const wrong = pipelineText.replace('to: out', 'to: nowhere');
  const cases: readonly (readonly [object, string, RegExp])[] = [
    [{}, 'ETL_INVALID_ARGUMENT', /manifest: is missing/],
    [{ manifest: '{' }, 'ETL_INVALID_ARGUMENT', /./],
    [{ manifest: allText }, 'ETL_INVALID_ARGUMENT', /one object, not 3/],
    [{ manifest: wrong }, 'ETL_INVALID_ARGUMENT', /nowhere/],
    [
      { manifest: sourceText, expectedVersion: uint64Max },
      'ETL_INVALID_ARGUMENT',
      /expected_version/,
    ],
  ];
  for (const [request, code, message] of cases) {
    await assert.rejects(admin.applyObject(request), saying(code, message));
  }
  const { findings, created, object } = await admin.applyObject({
    manifest: wrong,
    validateOnly: true,
  });
  assert.deepEqual([created, object], [false, undefined]);
  assert(findings.some(({ severity }) => severity === FindingSeverity.ERROR));
  assert.deepEqual((await admin.listObjects({})).objects, []);
});

test('objects are listed by kind, namespace and labels, in pages', async (t) => {
  const { admin } = await withOrders(t);
  const names = (list: Awaited<ReturnType<typeof admin.listObjects>>): string[] =>
    list.objects.map(({ name }) => `${name?.kind}/${name?.name}`);
  const first = await admin.listObjects({ pageSize: 2 });
  const second = await admin.listObjects({ pageSize: 2, pageToken: first.nextPageToken });
  assert.deepEqual(
    [...names(first), ...names(second)],
    ['EtlPipeline/orders', 'EtlSink/out', 'EtlSource/in'],
  );
  assert.deepEqual(names(await admin.listObjects({ kind: 'EtlSink' })), ['EtlSink/out']);
  assert.deepEqual(names(await admin.listObjects({ namespace: 'other' })), []);
  assert.deepEqual(names(await admin.listObjects({ labels: { team: 'x' } })), []);
  await assert.rejects(
    admin.listObjects({ kind: 'Pod' }),
    saying('ETL_INVALID_ARGUMENT', /kind: "Pod" is not one of EtlSource/),
  );
  await assert.rejects(admin.getObject({}), saying('ETL_INVALID_ARGUMENT', /name/));
});

test('a pipeline is created from its spec, changed, paused, run and deleted', async (t) => {
  const { admin } = await start(t);
  const spec = { source: { ref: 'in' }, sink: { ref: 'out' } };
  const manifest = JSON.stringify(spec);
  const { pipeline } = await admin.createPipeline({ manifest, name: orders });
  assert.equal(pipeline?.status?.state, 'running');
  assert.deepEqual(
    pipeline?.status?.stages.map(({ kind }) => kind),
    ['source', 'sink'],
  );
  await assert.rejects(
    admin.createPipeline({ manifest, name: orders }),
    saying('ETL_CONFLICT', /./),
  );
  await assert.rejects(
    admin.createPipeline({ manifest: pipelineText, name: { name: 'other' } }),
    saying('ETL_INVALID_ARGUMENT', /shop\/orders/),
  );
  await assert.rejects(
    admin.createPipeline({ manifest }),
    saying('ETL_INVALID_ARGUMENT', /name\.name/),
  );
  await assert.rejects(
    admin.createPipeline({ manifest: sourceText }),
    saying('ETL_INVALID_ARGUMENT', /EtlSource, not an EtlPipeline/),
  );
  await assert.rejects(
    admin.updatePipeline({ manifest, name: { name: 'none' } }),
    saying('ETL_NOT_FOUND', /default\/none/),
  );
  const same = await admin.updatePipeline({ manifest, name: orders });
  assert.equal(same.changed, false);
  await assert.rejects(
    admin.deletePipeline({ name: orders }),
    saying('ETL_CONFLICT', /is running; disable it first/),
  );
  const paused = await admin.disablePipeline({ name: orders });
  assert.equal(paused.pipeline?.status?.state, 'paused');
  assert.deepEqual((await admin.listPipelines({})).pipelines, []);
  assert.equal((await admin.listPipelines({ includeDisabled: true })).pipelines.length, 1);
  const enabled = await admin.enablePipeline({ name: orders });
  assert.equal(enabled.pipeline?.status?.state, 'running');
  const { pipeline: shown } = await admin.getPipeline({ name: orders });
  assert.equal(shown?.object?.conditions[1]?.reason, 'Pending');
  await admin.deletePipeline({ name: orders, force: true });
  await assert.rejects(
    admin.getPipeline({ name: orders }),
    saying('ETL_NOT_FOUND', /shop\/orders/),
  );
});

test('the cluster is one member that leads, and stays alone', async (t) => {
  const { admin, address, running } = await start(t);
  const status = await admin.getClusterStatus({});
  assert.deepEqual(
    [status.name, status.leader, status.leaderAddress, status.health, status.version],
    ['1', '1', address, ClusterHealth.HEALTHY, '1.2.3'],
  );
  const { nodeId, lastIndex } = running.router.cluster();
  const raftId = BigInt(nodeId);
  assert.equal(status.raftId, raftId);
  assert.deepEqual(
    status.members.map((member) => [member.name, member.raftId, member.role, member.healthy]),
    [['1', raftId, MemberRole.LEADER, true]],
  );
  assert.equal(status.members[0]?.matchIndex, BigInt(lastIndex));
  assert.equal(status.appliedIndex, status.commitIndex);
  const other = { name: '2', raftId: 7n, address: '127.0.0.1:1' };
  await assert.rejects(admin.addLearner(other), saying('ETL_UNSUPPORTED', /with --peers/));
  await assert.rejects(admin.removeMember({ raftId }), saying('ETL_UNSAFE', /is the last voter/));
  await assert.rejects(admin.transferLeadership({}), saying('ETL_UNSAFE', /no other voter/));
  assert.equal((await admin.transferLeadership({ toRaftId: raftId })).leader, '1');
  assert.equal((await admin.promoteMember({ raftId })).members.length, 1);
});

test('members are named by ids that there are', async (t) => {
  const { admin } = await start(t);
  for (const [call, code, text] of [
    [
      admin.addLearner({ name: '2', address: 'a:1' }),
      'ETL_INVALID_ARGUMENT',
      /^raft_id: is missing/,
    ],
    [admin.addLearner({ raftId: 2n, address: 'a:1' }), 'ETL_INVALID_ARGUMENT', /^name: is missing/],
    [admin.addLearner({ raftId: 2n, name: '2' }), 'ETL_INVALID_ARGUMENT', /^address: is missing/],
    [admin.removeMember({}), 'ETL_INVALID_ARGUMENT', /^raft_id: is missing/],
    [admin.promoteMember({ raftId: uint64Max }), 'ETL_INVALID_ARGUMENT', /raft_id/],
    [admin.promoteMember({ raftId: 9n }), 'ETL_NOT_FOUND', /^member with id 9 does not belong/],
    [admin.transferLeadership({ toRaftId: 9n }), 'ETL_NOT_FOUND', /^member with id 9/],
    [
      admin.removeMember({ raftId: 9n, requestId: 'x'.repeat(129) }),
      'ETL_INVALID_ARGUMENT',
      /request_id/,
    ],
  ] as const) {
    await assert.rejects(call, saying(code, text));
  }
});

test('metrics are given by name', async (t) => {
  const { admin } = await start(t);
  const { samples } = await admin.getMetrics({
    names: ['etl_router_is_leader', 'etl_router_term'],
  });
  assert.deepEqual(
    samples.map(({ name, value }) => [name, value]),
    [
      ['etl_router_is_leader', 1],
      ['etl_router_term', 2],
    ],
  );
  assert((await admin.getMetrics({})).samples.length > 10);
});

test('dead letters are asked of who holds them, and refused clearly where nobody does', async (t) => {
  const { admin } = await withOrders(t);
  const pipeline = 'shop/orders';
  await assert.rejects(
    admin.listDeadLetters({ filter: { pipeline: orders } }),
    saying('ETL_UNAVAILABLE', /are safe/),
  );
  await assert.rejects(
    admin.listDeadLetters({}),
    saying('ETL_INVALID_ARGUMENT', /filter\.pipeline/),
  );
  await assert.rejects(
    admin.redriveDeadLetters({ pipeline, edits: [{ deadLetterId: 'x' }] }),
    saying('ETL_UNSUPPORTED', /edits/),
  );
  await assert.rejects(
    admin.getDeadLetter({ pipeline: 'shop/none', deadLetterId: 'x' }),
    saying('ETL_NOT_FOUND', /shop\/none/),
  );
  const many = Array.from({ length: 1001 }, (_, n) => `${n}`);
  await assert.rejects(
    admin.discardDeadLetters({ pipeline, deadLetterIds: many }),
    saying('ETL_LIMIT_EXCEEDED', /dead_letter_ids/),
  );
});

test('a message beyond the limit is refused and the server goes on', async (t) => {
  const { admin } = await start(t, {}, { maxMessageBytes: 64 * 1024 * 1024 });
  const error = await failure(admin.applyObject({ manifest: 'x'.repeat(17 * 1024 * 1024) }));
  assert.equal(error.code, 'ETL_LIMIT_EXCEEDED');
  assert.equal((await admin.getClusterStatus({})).name, '1');
});

const raw = (bytes: Buffer): Buffer => bytes;

test('health serves and reflection lists every service of the router', async (t) => {
  const { address } = await start(t);
  const client = new Client(address, ChannelCredentials.createInsecure());
  t.after(() => client.close());
  assert.equal(await healthOf(client), 'serving');
  const call = client.makeBidiStreamRequest(
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    raw,
    raw,
  );
  call.write(Buffer.concat([Buffer.of(0x3a, 1), Buffer.from('*')]));
  call.end();
  let listed = '';
  for await (const bytes of call) listed += (bytes as Buffer).toString('latin1');
  for (const name of [
    'etl.registry.v1.ServiceRegistry',
    'etl.checkpoint.v1.CheckpointService',
    'etl.sidecar.v1.SidecarCoordinator',
    'etl.router.v1.RouterAdmin',
  ]) {
    assert(listed.includes(name), name);
  }
});
