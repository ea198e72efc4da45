// What is deleted goes: a cluster with what it made and, when its spec says so, its volumes; a namespace with clusters.

import assert from 'node:assert/strict';
import { eventually } from './harness/eventually.ts';
import { writtenIn } from './harness/graphql.ts';
import { withoutOperator } from './harness/installation.ts';
import { kubectl, list } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { makeNamespace, removeNamespace, type Scenario, scenario } from './harness/scenario.ts';
import { Writer } from './harness/writer.ts';

const bindingsOf = async (namespace: string): Promise<readonly string[]> =>
  (await list('clusterrolebindings'))
    .map(({ metadata }) => metadata.name)
    .filter((name) => name.startsWith(`etl-router:${namespace}:`));

scenario('cluster-deleted', 'nothing of it stays, its volumes by policy', async (run) => {
  const { namespace } = run;
  const storage = { retention: { whenDeleted: 'delete' } };
  const kept = await RouterCluster.apply(namespace, 'kept', { replicas: 1 });
  const gone = await RouterCluster.apply(namespace, 'gone', { replicas: 1, storage });
  await kept.ready();
  await gone.ready();
  const what = 'erc,sts,svc,cm,secret,sa,pdb,pod';
  await run.step('deleted', async () => {
    await kubectl(['delete', 'erc', 'kept', 'gone', '-n', namespace, '--wait', '--timeout=100s'], {
      timeoutMs: 110_000,
    });
    await eventually('what they made is gone', async () => {
      const args = ['get', what, '-n', namespace, '-o', 'name', '-l', 'etl.router/cluster'];
      return (await kubectl(args)).trim() === '';
    });
    await eventually('the claim is gone', async () => (await gone.claims()).length === 0);
  });
  assert.deepEqual(await kept.claims(), ['data-kept-1']);
  assert.deepEqual(await bindingsOf(namespace), []);
});

scenario('cluster-orphaned', 'what it had stays, also where its volumes would go', async (run) => {
  const { namespace } = run;
  const storage = { retention: { whenDeleted: 'delete' } };
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 1, storage });
  await cluster.ready();
  const before = await cluster.runs();
  const finalizers = async (): Promise<readonly string[]> =>
    (await list('erc', namespace)).flatMap(({ metadata }) => metadata.finalizers ?? []);
  // The garbage collector is done with it before the operator looks.
  await withoutOperator(async () => {
    await kubectl(['delete', 'erc', 'main', '-n', namespace, '--cascade=orphan', '--wait=false']);
    await eventually('the garbage collector is done', async () => {
      const left = await finalizers();
      return left.length === 1 && !left.includes('orphan');
    });
  });
  await run.step('let go of', () =>
    eventually('it is gone', async () => (await list('erc', namespace)).length === 0),
  );
  const claims = await list('pvc', namespace);
  assert.deepEqual(
    claims.map(({ metadata }) => [metadata.name, metadata.deletionTimestamp]),
    [['data-main-1', undefined]],
  );
  assert.deepEqual(await cluster.runs(), before, 'no pod was touched');
  const bindings = await bindingsOf(namespace);
  assert.equal(bindings.length, 1);
  await kubectl(['delete', 'clusterrolebinding', ...bindings]);
});

scenario('cluster-early', 'one that is deleted while it is made comes again', async (run) => {
  const { namespace } = run;
  const first = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  await eventually('it is being made', async () => (await first.pods()).length > 0, {
    everyMs: 100,
  });
  assert.equal((await first.status()).clusterID, undefined, 'it was not founded yet');
  await kubectl(['delete', 'erc', 'main', '-n', namespace, '--wait', '--timeout=100s'], {
    timeoutMs: 110_000,
  });
  const second = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  const { clusterID } = await run.step('ready', () => second.ready());
  assert.deepEqual(await second.voters(), ['main-1', 'main-2', 'main-3']);
  await second.isStill(clusterID);
});

/** Founds a cluster, writes to it, and deletes it; its volumes stay. */
async function lived(run: Scenario, replicas: number) {
  const { namespace } = run;
  const first = await RouterCluster.apply(namespace, 'main', { replicas });
  const { clusterID } = await first.ready();
  const writer = await Writer.start({ namespace, cluster: 'main' });
  run.gap('written before', await writer.finish());
  const written = await writtenIn(namespace, 'main', 'writer');
  assert.ok(written.length > 10, `${written.length} objects`);
  await kubectl(['delete', 'erc', 'main', '-n', namespace, '--wait', '--timeout=100s'], {
    timeoutMs: 110_000,
  });
  return { clusterID, written };
}

scenario('cluster-again', 'one that comes again takes up what the last one kept', async (run) => {
  const { namespace } = run;
  const { clusterID, written } = await lived(run, 1);
  const second = await RouterCluster.apply(namespace, 'main', { replicas: 1 });
  await run.step('ready', () => second.ready());
  await second.isStill(clusterID);
  const kept = await writtenIn(namespace, 'main', 'writer');
  assert.deepEqual(kept, written, 'what was written is there');
});

scenario(
  'cluster-smaller',
  'one that comes again with less says how many it takes',
  async (run) => {
    const { namespace } = run;
    const { clusterID, written } = await lived(run, 3);
    const second = await RouterCluster.apply(namespace, 'main', { replicas: 1 });
    await run.step('said', () =>
      eventually('the message names a number', async () => {
        const { reason, message } = await second.condition('Available');
        return reason === 'Founding' && message.endsWith('set spec.replicas to 3.');
      }),
    );
    await second.patch({ replicas: 3 });
    await run.step('ready', () => second.ready());
    await second.isStill(clusterID);
    const kept = await writtenIn(namespace, 'main', 'writer');
    assert.deepEqual(kept, written, 'what was written is there');
  },
);

scenario(
  'namespace-deleted',
  'nothing holds up its end, and nothing is made again',
  async (run) => {
    const namespace = `${run.namespace}-two`;
    await makeNamespace(namespace);
    const clusters = [
      await RouterCluster.apply(namespace, 'main', { replicas: 3 }),
      await RouterCluster.apply(namespace, 'other', { replicas: 1 }),
    ];
    for (const cluster of clusters) await cluster.ready();
    // It is deleted while one of them is being changed.
    await clusters[1]?.scale(3);
    await run.step('gone', () => removeNamespace(namespace));
    await eventually(
      'no right is left behind',
      async () => (await bindingsOf(namespace)).length === 0,
    );
  },
);
