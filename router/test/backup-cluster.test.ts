// Backups of three routers over sockets: restored on all of them, also where the leader changes in the middle.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunningRouter } from '../src/index.ts';
import { shareCluster } from './cluster.ts';
import { allText } from './server/harness.ts';

const shared = shareCluster(3);

/** The one that leads, and one that does not. */
async function roles(): Promise<readonly [number, RunningRouter, RunningRouter]> {
  const cluster = shared();
  const [leader, led] = await cluster.leader();
  const follower = cluster.running.find(({ router }) => router !== led.router) as RunningRouter;
  return [leader, led, follower];
}

async function apply({ router }: RunningRouter, text: string): Promise<void> {
  const { outcomes, findings } = await router.objects.applyText(text);
  assert(outcomes.length > 0, findings.map(({ message }) => message).join());
  for (const { error } of outcomes) assert.ifError(error);
}

/** Asserts that every member holds these objects, at one revision. */
async function assertAll(names: readonly string[]): Promise<void> {
  const revisions = new Set<number>();
  for (const { router } of shared().running) {
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

/** The objects of `allText`. */
const small = ['in', 'orders', 'out'];

const larges = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `large-${at}`);

test('a restore that is asked of a follower is in force on every member', async () => {
  const [, led, follower] = await roles();
  await apply(led, allText);
  const { id, clusterId } = await follower.router.backups.create('one');
  await apply(led, large('later'));
  const before = led.router.revision;
  await follower.router.backups.restore({ snapshotId: id, clusterId });
  await assertAll(small);
  assert(led.router.revision > before + 1_000_000);
  await assert.rejects(led.router.backups.get('one'), { code: 'ETL_NOT_FOUND' });
});

test('while one member restores, another restore is refused', async () => {
  const [, led, follower] = await roles();
  for (const name of larges(12)) await apply(led, large(name));
  const mine = await led.router.backups.create('two');
  const theirs = await follower.router.backups.create('two');
  const outcomes = await Promise.allSettled(
    [led, follower].map(({ router }) =>
      router.backups.restore({ snapshotId: 'two', clusterId: mine.clusterId }),
    ),
  );
  assert.equal(mine.clusterId, theirs.clusterId);
  const [refused] = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
  assert.equal((refused as { code: string } | undefined)?.code, 'ETL_CONFLICT');
  assert(outcomes.some(({ status }) => status === 'fulfilled'));
  await assertAll([...small, ...larges(12)]);
});

test('a leader that is lost in the middle of a restore only delays it', async () => {
  const [first, led, follower] = await roles();
  for (const name of larges(24)) await apply(led, large(name));
  const names = [...small, ...larges(24)];
  const { id, clusterId } = await follower.router.backups.create('three');
  await apply(led, large('later'));
  const { commitIndex } = led.router.cluster();
  const restoring = follower.router.backups.restore({ snapshotId: id, clusterId });
  while (led.router.cluster().commitIndex < commitIndex + 5)
    await new Promise((resolve) => setTimeout(resolve, 1));
  const cluster = shared();
  await cluster.stop(first);
  await restoring;
  await cluster.leader();
  await assertAll(names);
  await cluster.start(first);
  await cluster.leader();
  await assertAll(names);
});

test('without a majority no snapshot is made, since nobody knows what is committed', async () => {
  const [first, led] = await roles();
  const made = (await led.router.backups.list()).length;
  for (const id of [1, 2, 3].filter((each) => each !== first)) await shared().stop(id);
  await assert.rejects(led.router.backups.create('four', AbortSignal.timeout(120_000)), {
    code: 'ETL_UNAVAILABLE',
  });
  assert.equal((await led.router.backups.list()).length, made);
});
