// What doctor says of a Kubernetes in which nothing is wrong, or in which it can not look.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { etlctl } from '../harness.ts';
import { type Check, examine, type Report, troubles } from './examine.ts';
import { definitionPath, deployment, deploymentPath, startInstalled } from './installation.ts';
import { cluster, clusterPath, conditions, deleted, pod, podPath, withCondition } from './shop.ts';

test('a healthy installation has no trouble, and every part of it is named', async (t) => {
  const report = await examine(await startInstalled(t));
  assert.deepEqual(troubles(report), []);
  assert.deepEqual([report.code, report.ok], [0, true]);
  assert.deepEqual(
    report.checks.map(({ name }) => name),
    [
      ...['kubeconfig', 'api-server', 'clock', 'kinds', 'operator', 'operator lease', 'token'],
      'shop/main',
      ...['pods', 'volumes', 'certificates', 'budget', 'routers', 'routers versions'].map(
        (part) => `shop/main ${part}`,
      ),
    ],
  );
  const budget = report.checks.find(({ name }) => name === 'shop/main budget');
  assert.equal(budget?.message, '1 pod may be evicted now');
});

test('the report for people has a line for each check, and what to do below it', async (t) => {
  const kubernetes = await startInstalled(t);
  kubernetes.put(deploymentPath, deployment(1));
  const kubeconfig = await kubernetes.kubeconfig();
  const { code, out, err } = await etlctl(['doctor', '--kubeconfig', kubeconfig]);
  assert.deepEqual([code, err], [0, '']);
  assert.match(
    out,
    /\nWARN {2}operator {20}etl-system\/etl-operator runs etl-router\/operator:0\.1\.0, 1 of 2 ready\n {34}> see kubectl describe/,
  );
  assert.match(out, /\n14 checks: 13 ok, 1 to look at, 0 failed\n$/);
});

test('what may not be looked at is said, and the rest is looked at', async (t) => {
  const kubernetes = await startInstalled(t);
  for (const path of [
    '/apis/apps/v1/deployments',
    '/apis/apps/v1/namespaces/etl-system/deployments',
    '/apis/etl.router/v1/etlrouterclusters',
    '/api/v1/namespaces/shop/persistentvolumeclaims',
    '/api/v1/namespaces/shop/configmaps/main-ca',
    definitionPath('EtlRouterCluster'),
  ])
    kubernetes.refused.set(path, [403, `anna may not see ${path}`]);
  for (const ordinal of [1, 2, 3]) {
    kubernetes.routers.set(`main-${ordinal}`, (_asked, response) => {
      response.statusCode = 403;
      const title = 'anna may not get etlrouterclusters/graphql of this cluster';
      response.end(JSON.stringify({ status: 403, title, code: 'ETL_PERMISSION_DENIED' }));
    });
  }
  const report = await examine(kubernetes, '-n', 'shop');
  assert.equal(report.code, 0);
  assert.deepEqual(
    troubles(report).map(({ name, level }) => [name, level]),
    [
      ['operator', 'warn'],
      ['shop/main routers', 'warn'],
    ],
  );
});

test('a user without a token learns it once, and routers are not asked', async (t) => {
  const kubernetes = await startInstalled(t);
  kubernetes.put(clusterPath.replace('main', 'other'), cluster('other'));
  kubernetes.token = undefined;
  const kubeconfig = await kubernetes.kubeconfig({ 'client-certificate-data': 'YQ==' });
  const run = async (...more: readonly string[]): Promise<readonly Check[]> => {
    const { out } = await etlctl(['doctor', '--kubeconfig', kubeconfig, '-o', 'json', ...more]);
    return (JSON.parse(out) as { result: Report }).result.checks;
  };
  const told = (await run()).filter(({ advice }) => /--service-account/.test(advice ?? ''));
  assert.deepEqual(
    told.map(({ name, level }) => [name, level]),
    [['token', 'warn']],
  );
  assert.deepEqual(kubernetes.asked, []);
  const lent = await run('--service-account', 'viewer', '--cluster', 'shop/main');
  assert.equal(lent.find(({ name }) => name === 'shop/main routers')?.level, 'ok');
});

test('a cluster that is being deleted has one line', async (t) => {
  const kubernetes = await startInstalled(t);
  const told = async (): Promise<readonly string[]> => {
    const { checks } = await examine(kubernetes);
    return checks.filter(({ name }) => name.startsWith('shop')).map(({ message }) => message);
  };
  kubernetes.put(clusterPath, deleted(cluster()));
  assert.deepEqual(await told(), ['is being deleted since 2025-12-31T23:00:00Z']);
  kubernetes.put(clusterPath, deleted(withCondition('Ready', 'False', 'Deleting')));
  assert.deepEqual(await told(), ['is being deleted since 2025-12-31T23:00:00Z: because']);
});

test('what two conditions say is told once', async (t) => {
  const kubernetes = await startInstalled(t);
  const lost = conditions.map((each) => {
    if (each['type'] === 'Ready') return { ...each, status: 'False', reason: 'NoLeader' };
    if (each['type'] === 'Available') return { ...each, status: 'False', reason: 'QuorumLost' };
    if (each['type'] === 'Degraded') return { ...each, status: 'True', reason: 'QuorumLost' };
    return each;
  });
  kubernetes.put(clusterPath, cluster('main', { conditions: lost }));
  const report = await examine(kubernetes);
  const { message = '' } = report.checks.find(({ name }) => name === 'shop/main') ?? {};
  assert.equal(message.match(/QuorumLost/g)?.length, 1);
});

test('a cluster that is being founded has no failure yet', async (t) => {
  const kubernetes = await startInstalled(t);
  kubernetes.put(clusterPath, withCondition('Available', 'False', 'Founding'));
  for (const ordinal of [1, 2, 3])
    kubernetes.put(podPath(`main-${ordinal}`), pod(ordinal, { phase: 'Pending' }, false));
  kubernetes.routers.clear();
  const report = await examine(kubernetes);
  assert.equal(report.code, 0);
  assert.equal(report.checks.find(({ name }) => name === 'shop/main pods')?.level, 'warn');
});

test('an API server that is away, or a kubeconfig that is missing, ends the checks with one failure', async (t) => {
  const kubernetes = await startInstalled(t);
  kubernetes.token = 'another';
  const refused = await examine(kubernetes);
  assert.deepEqual(
    refused.checks.map(({ name, level }) => [name, level]),
    [
      ['kubeconfig', 'ok'],
      ['api-server', 'fail'],
    ],
  );
  const { code, out } = await etlctl(['doctor', '--kubeconfig', '/no/such', '-o', 'json']);
  const { result, error } = JSON.parse(out) as { result: Report; error: { code: string } };
  assert.deepEqual([code, error.code], [1, 'ETL_UNAVAILABLE']);
  assert.match(result.checks[0]?.message ?? '', /\/no\/such: does not exist/);
});

test('without an EtlRouterCluster it is said where one is described', async (t) => {
  const kubernetes = await startInstalled(t);
  kubernetes.objects.delete(clusterPath);
  const report = await examine(kubernetes);
  const [none] = troubles(report);
  assert.deepEqual([none?.name, none?.level], ['clusters', 'warn']);
  assert.match(none?.advice ?? '', /quickstart-kubernetes\.md/);
});

test('a cluster that is not there is a failure that says what there is', async (t) => {
  const kubernetes = await startInstalled(t);
  const report = await examine(kubernetes, '--cluster', 'shop/nope');
  const [none, ...others] = troubles(report);
  assert.deepEqual([report.code, report.ok, others], [1, false, []]);
  assert.deepEqual([none?.name, none?.level], ['shop/nope', 'fail']);
  assert.match(
    none?.message ?? '',
    /^there is no EtlRouterCluster shop\/nope: .*there are shop\/main /,
  );
  assert.match(none?.advice ?? '', /kubectl get erc -A .*--cluster NAMESPACE\/NAME/);
});

test('doctor does not send to doctor', async (t) => {
  const kubernetes = await startInstalled(t);
  kubernetes.routers.delete('main-3');
  const report = await examine(kubernetes);
  assert.doesNotMatch(JSON.stringify(report.checks), /doctor tells more/);
});
