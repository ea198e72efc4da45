// Backups of three routers over sockets: restored on all of them, also where the leader changes in the middle.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { RunningRouter } from '../src/index.ts';
import { Cluster } from './cluster.ts';
import { allText } from './server/harness.ts';

/** Three routers, of which one leads and two do not. */
async function three(
  context: TestContext,
): Promise<readonly [Cluster, RunningRouter, RunningRouter]> {
  const cluster = await Cluster.make(context, 3);
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  const [, led] = await cluster.leader();
  const follower = cluster.running.find(({ router }) => router !== led.router) as RunningRouter;
  return [cluster, led, follower];
}

async function apply({ router }: RunningRouter, text: string): Promise<void> {
  const { outcomes, findings } = await router.objects.applyText(text);
  assert(outcomes.length > 0, findings.map(({ message }) => message).join());
  for (const { error } of outcomes) assert.ifError(error);
}

/** Asserts that every member holds these objects, at one revision. */
async function assertAll(cluster: Cluster, names: readonly string[]): Promise<void> {
  const revisions = new Set<number>();
  for (const { router } of cluster.running) {
    await router.barrier();
    const found = router.objects.list({}).map(({ manifest }) => manifest.metadata.name);
    assert.deepEqual([...found].sort(), [...names].sort());
    revisions.add(router.revision);
  }
  assert.equal(revisions.size, 1);
}

const large = (name: string): string => `apiVersion: etl.router/v1
kind: EtlSource
metadata: { name: ${name}, namespace: lab, annotations: { filler: ${'x'.repeat(250_000)} } }
spec: { generator: { count: 1 } }
`;

test('a restore that is asked of a follower is in force on every member', async (context) => {
  const [cluster, led, follower] = await three(context);
  await apply(led, allText);
  const { id, clusterId } = await follower.router.backups.create('one');
  await apply(led, large('later'));
  const before = led.router.revision;
  await follower.router.backups.restore({ snapshotId: id, clusterId });
  await assertAll(cluster, ['in', 'orders', 'out']);
  assert(led.router.revision > before + 1_000_000);
  await assert.rejects(led.router.backups.get('one'), { code: 'ETL_NOT_FOUND' });
});

test('a leader that is lost in the middle of a restore only delays it', async (context) => {
  const [cluster, led, follower] = await three(context);
  const names = Array.from({ length: 40 }, (_, at) => `large-${at}`);
  for (const name of names) await apply(led, large(name));
  const { id, clusterId } = await follower.router.backups.create('one');
  await apply(led, allText);
  const { commitIndex } = led.router.cluster();
  const [first] = await cluster.leader();
  const restoring = follower.router.backups.restore({ snapshotId: id, clusterId });
  while (led.router.cluster().commitIndex < commitIndex + 5)
    await new Promise((resolve) => setTimeout(resolve, 1));
  await cluster.stop(first);
  await restoring;
  await cluster.leader();
  await assertAll(cluster, names);
  await cluster.start(first);
  await cluster.leader();
  await assertAll(cluster, names);
});

test('while one member restores, another restore is refused', async (context) => {
  const [cluster, led, follower] = await three(context);
  for (let at = 0; at < 12; at++) await apply(led, large(`large-${at}`));
  const mine = await led.router.backups.create('one');
  const theirs = await follower.router.backups.create('one');
  const outcomes = await Promise.allSettled(
    [led, follower].map(({ router }) =>
      router.backups.restore({ snapshotId: 'one', clusterId: mine.clusterId }),
    ),
  );
  assert.equal(mine.clusterId, theirs.clusterId);
  const [refused] = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
  assert.equal((refused as { code: string } | undefined)?.code, 'ETL_CONFLICT');
  assert(outcomes.some(({ status }) => status === 'fulfilled'));
  await assertAll(
    cluster,
    Array.from({ length: 12 }, (_, at) => `large-${at}`),
  );
});

test('without a majority no snapshot is made, since nobody knows what is committed', async (context) => {
  const [cluster, led] = await three(context);
  const [first] = await cluster.leader();
  for (const id of [1, 2, 3].filter((each) => each !== first)) await cluster.stop(id);
  await assert.rejects(led.router.backups.create('one', AbortSignal.timeout(120_000)), {
    code: 'ETL_UNAVAILABLE',
  });
  assert.deepEqual(await led.router.backups.list(), []);
});
