// etlctl on its way to a router in Kubernetes: which cluster, which pod, whose credentials, and what is said when there is
// none of them.

import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { RouterClient } from '../../src/client.ts';
import { KubernetesRoute } from '../../src/kubernetes/route.ts';
import type { KubernetesPlace } from '../../src/place.ts';
import { etlctl, type Ran, testIo } from '../harness.ts';
import type { FakeKubernetes } from './kubernetes.ts';
import { cluster, clusterPath, pod, podPath, routerStatus, startShop } from './shop.ts';

const services = ['get', 'services'];

async function shopCtl(
  kubernetes: FakeKubernetes,
  args: readonly string[],
  user?: { readonly [field: string]: unknown },
): Promise<Ran> {
  const kubeconfig = await kubernetes.kubeconfig(user);
  return etlctl([...args, '-n', 'shop', '--kubeconfig', kubeconfig]);
}

test('the only cluster of the namespace is found, and its leader asked with the token of the user', async (t) => {
  const kubernetes = await startShop(t);
  const { code, err } = await shopCtl(kubernetes, services);
  assert.deepEqual([code, err], [0, 'No services are registered.\n']);
  assert.deepEqual(
    kubernetes.asked.map(({ pod, authorization }) => [pod, authorization]),
    [['main-2', 'Bearer my-token']],
  );
});

test('a cluster is named by a flag, a variable, or a file, and the flag wins', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.put(clusterPath.replace('main', 'other'), cluster('other'));
  const KUBECONFIG = await kubernetes.kubeconfig();
  const named = await etlctl([...services, '--cluster', 'main', '-n', 'shop'], '', { KUBECONFIG });
  assert.equal(named.code, 0);
  assert.equal((await etlctl(services, '', { KUBECONFIG, ETLCTL_CLUSTER: 'shop/main' })).code, 0);
  const file = `${KUBECONFIG}.yaml`;
  await writeFile(file, `kubeconfig: ${KUBECONFIG}\ncluster: shop/main\n`);
  assert.equal((await etlctl(services, '', { ETLCTL_CONFIG: file })).code, 0);
  const flag = await etlctl([...services, '--cluster', 'shop/none'], '', { ETLCTL_CONFIG: file });
  assert.equal(flag.code, 4);
  assert.match(flag.err, /has no EtlRouterCluster none; there are shop\/main, shop\/other/);
});

test('several clusters are named, and none is chosen', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.put(clusterPath.replace('main', 'other'), cluster('other'));
  const { code, err } = await shopCtl(kubernetes, services);
  assert.equal(code, 2);
  assert.match(err, /has several EtlRouterClusters; choose one with --cluster: main, other\n$/);
  assert.deepEqual(kubernetes.asked, []);
});

test('without a cluster it is said where there are some, and what to install', async (t) => {
  const kubernetes = await startShop(t);
  const kubeconfig = await kubernetes.kubeconfig();
  const other = await etlctl([...services, '--kubeconfig', kubeconfig]);
  assert.equal(other.code, 4);
  assert.match(other.err, /namespace default .*has no EtlRouterCluster; there are shop\/main/);
  kubernetes.objects.clear();
  const none = await etlctl([...services, '--kubeconfig', kubeconfig]);
  assert.equal(none.code, 4);
  assert.match(none.err, /does not know EtlRouterClusters; install the chart etl-operator first/);
});

test('a server and a cluster at once are refused, and a nearer server beats a farther cluster', async (t) => {
  const kubernetes = await startShop(t);
  const both = await etlctl([...services, '--server', 'http://a', '--cluster', 'main']);
  assert.deepEqual(
    [both.code, both.err],
    [2, 'error: --server and --cluster name two places; leave one out\n'],
  );
  const env = { ETLCTL_CLUSTER: 'shop/main', KUBECONFIG: await kubernetes.kubeconfig() };
  const nearer = await etlctl([...services, '--server', 'http://127.0.0.1:1'], '', env);
  assert.match(nearer.err, /can not reach the router at http:\/\/127\.0\.0\.1:1/);
  const local = await etlctl(services, '', {
    ...env,
    ETLCTL_CLUSTER: '',
    ETLCTL_SERVER: '127.0.0.1:1',
  });
  assert.match(local.err, /can not reach the router at http:\/\/127\.0\.0\.1:1/);
});

test('who is not ready is asked only when nobody is', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.put(podPath('main-2'), pod(2, {}, false));
  await shopCtl(kubernetes, services);
  assert.equal(kubernetes.asked.at(-1)?.pod, 'main-1');
  for (const ordinal of [1, 3])
    kubernetes.put(podPath(`main-${ordinal}`), pod(ordinal, { phase: 'Pending' }, false));
  await shopCtl(kubernetes, services);
  assert.equal(kubernetes.asked.at(-1)?.pod, 'main-2');
  kubernetes.put(podPath('main-2'), pod(2, { phase: 'Failed' }, false));
  const { code, err } = await shopCtl(kubernetes, services);
  assert.equal(code, 1);
  assert.match(
    err,
    /no pod of EtlRouterCluster shop\/main runs \(main-1 is Pending, main-2 is Failed, main-3 is Pending\); etlctl doctor/,
  );
});

test('a leader that a router names is asked in its pod', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.put(clusterPath, cluster('main', { leader: undefined }));
  kubernetes.routers.set('main-1', (_asked, response) => {
    const details = { httpAddress: 'main-3.main-peers.shop.svc:8080' };
    const extensions = { code: 'ETL_NOT_LEADER', details };
    response.end(JSON.stringify({ errors: [{ message: 'not me', extensions }] }));
  });
  const { code } = await shopCtl(kubernetes, ['cluster', 'transfer']);
  assert.equal(code, 1);
  assert.deepEqual(
    kubernetes.asked.map(({ pod }) => pod),
    ['main-1', 'main-3'],
  );
});

test('a router that nobody of this cluster is, is not asked', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.routers.set('main-2', (_asked, response) => {
    const extensions = { code: 'ETL_NOT_LEADER', details: { httpAddress: 'evil.example:8080' } };
    response.end(JSON.stringify({ errors: [{ message: 'not me', extensions }] }));
  });
  const { code, err } = await shopCtl(kubernetes, services);
  assert.deepEqual([code, err], [1, 'error: not me (--server evil.example:8080)\n']);
});

test('a client certificate is no token, and what to do instead is said', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.token = undefined;
  const { code, err } = await shopCtl(kubernetes, services, {});
  assert.equal(code, 1);
  assert.match(err, /user anna .* has no token, only a client certificate.*--service-account/);
  assert.deepEqual(kubernetes.asked, []);
});

test('a service account lends its token for ten minutes', async (t) => {
  const kubernetes = await startShop(t);
  for (const [account, token] of [
    ['viewer', 'token-of-shop-viewer'],
    ['ops/editor', 'token-of-ops-editor'],
  ] as const) {
    const { code } = await shopCtl(kubernetes, [...services, '--service-account', account]);
    assert.equal(code, 0);
    assert.equal(kubernetes.asked.at(-1)?.authorization, `Bearer ${token}`);
  }
});

test('a plug-in is asked for the token, and its failure is told without the token', async (t) => {
  const kubernetes = await startShop(t);
  const file = `${await kubernetes.kubeconfig()}.sh`;
  const credential = {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: { token: 'my-token' },
  };
  await writeFile(file, `#!/bin/sh\necho '${JSON.stringify(credential)}'\n`);
  await chmod(file, 0o755);
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: file,
    interactiveMode: 'Never',
  };
  assert.equal((await shopCtl(kubernetes, services, { exec })).code, 0);
  assert.equal(kubernetes.asked.at(-1)?.authorization, 'Bearer my-token');
  await writeFile(file, '#!/bin/sh\necho "$KUBERNETES_EXEC_INFO" >&2; exit 3\n');
  const info = await shopCtl(kubernetes, services, { exec: { ...exec, provideClusterInfo: true } });
  assert.match(
    info.err,
    /"kind":"ExecCredential","spec":\{"interactive":false,"cluster":\{"server":"http/,
  );
  for (const [printed, says] of [
    ['eyJhbGciOi.secret', /: what it printed is no ExecCredential\n$/],
    ['{"token": "secret"}', /: its ExecCredential holds no credentials\n$/],
  ] as const) {
    await writeFile(file, `#!/bin/sh\necho '${printed}'\n`);
    const wrong = await shopCtl(kubernetes, services, { exec });
    assert.match(wrong.err, says);
    assert.doesNotMatch(wrong.err, /secret/);
  }
  await writeFile(file, '#!/bin/sh\nexec sleep 600\n');
  const slow = await shopCtl(kubernetes, [...services, '--timeout', '100ms'], { exec });
  assert.equal(slow.code, 124);
  assert.match(slow.err, /credentials of user anna did not come within 0\.1s .* from the plug-in/);
  await writeFile(file, '#!/bin/sh\necho "log in first" >&2; exit 3\n');
  const failed = await shopCtl(kubernetes, services, { exec });
  assert.equal(failed.code, 1);
  assert.match(failed.err, /no credentials for user anna from the plug-in .*: log in first\n$/);
  const missing = await shopCtl(kubernetes, services, { exec: { ...exec, command: '/no/such' } });
  assert.match(missing.err, /from the plug-in \/no\/such: spawn \/no\/such ENOENT\n$/);
});

test('what the API server refuses is passed on with what to do', async (t) => {
  const kubernetes = await startShop(t);
  const expired = await shopCtl(kubernetes, services, { token: 'old' });
  assert.equal(expired.code, 1);
  assert.match(expired.err, /does not accept the credentials of user anna .*have they run out\?/);
  kubernetes.refused.set('/api/v1/namespaces/shop/pods', [
    403,
    'User "anna" cannot list resource "pods"',
  ]);
  const pods = await shopCtl(kubernetes, services);
  assert.deepEqual(
    [pods.code, pods.err],
    [1, 'error: User "anna" cannot list resource "pods"; a Role that allows it is needed\n'],
  );
  kubernetes.refused.clear();
  kubernetes.refused.set(`${podPath('main-2')}/portforward`, [403, '']);
  const forward = await shopCtl(kubernetes, services);
  assert.match(forward.err, /get and create on pods\/portforward is needed\n$/);
});

test('a router that refuses the caller says which right is missing', async (t) => {
  const kubernetes = await startShop(t);
  const title = 'anna may not get etlrouterclusters/graphql of this cluster';
  kubernetes.routers.set('main-2', (_asked, response) => {
    response.statusCode = 403;
    response.end(JSON.stringify({ status: 403, title, code: 'ETL_PERMISSION_DENIED' }));
  });
  const { code, err } = await shopCtl(kubernetes, services);
  assert.deepEqual([code, err], [1, `error: ${title}\n`]);
});

test('a pod where nobody listens is told by its name', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.routers.clear();
  const { code, err } = await shopCtl(kubernetes, services);
  assert.equal(code, 1);
  assert.match(
    err,
    /pod shop\/main-2 does not take connections on port 8080 \(connection refused\); etlctl doctor tells more\n$/,
  );
});

test('a pod that goes away meanwhile is passed over', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.refused.set(`${podPath('main-2')}/portforward`, [500, '']);
  const { code } = await shopCtl(kubernetes, services);
  assert.deepEqual([code, kubernetes.asked.map(({ pod }) => pod)], [0, ['main-1']]);
  for (const pod of ['main-1', 'main-3'])
    kubernetes.refused.set(`${podPath(pod)}/portforward`, [404, '']);
  const none = await shopCtl(kubernetes, services);
  assert.equal(none.code, 1);
  assert.match(none.err, /can not open pods\/portforward of shop\/main-2 \(.*500\)\n$/);
});

test('a pod whose node does not answer is passed over before --timeout has passed', async (t) => {
  const kubernetes = await startShop(t);
  kubernetes.silent.add('main-2');
  const { code } = await shopCtl(kubernetes, [...services, '--timeout', '3s']);
  assert.equal(code, 0);
  assert.deepEqual(
    kubernetes.asked.map(({ pod }) => pod),
    ['main-1'],
  );
});

test('nodes that do not answer end the command after --timeout', async (t) => {
  const kubernetes = await startShop(t);
  for (const pod of ['main-1', 'main-2', 'main-3']) kubernetes.silent.add(pod);
  const { code, err } = await shopCtl(kubernetes, [...services, '--timeout', '3s']);
  assert.equal(code, 124);
  assert.match(err, /can not open pods\/portforward of shop\/main-2/);
});

test('bytes beside GraphQL go both ways through the port, with the credentials', async (t) => {
  const kubernetes = await startShop(t);
  const bytes = Buffer.alloc(3_000_000, 7);
  let sent = 0;
  kubernetes.routers.set('main-2', ({ bytes: got }, response) => {
    sent = got;
    response.end(bytes);
  });
  const place: KubernetesPlace = {
    ...({ kind: 'kubernetes' } as const),
    ...{ kubeconfig: await kubernetes.kubeconfig(), cluster: 'main' },
    ...{ namespace: 'shop', context: undefined, serviceAccount: undefined, token: undefined },
  };
  const io = testIo();
  const route = new KubernetesRoute(place, { timeoutMs: 10_000 }, io);
  t.after(() => route.close());
  const options = { place, route, timeoutMs: 10_000, consistency: undefined };
  const client = new RouterClient(options, io);
  const received = Buffer.concat(await (await client.get('/backups/s-1')).toArray());
  assert.ok(received.equals(bytes));
  await client.put('/backups/s-1', Readable.from([bytes.subarray(0, 2_000_000), bytes]));
  assert.equal(sent, 5_000_000);
  assert.ok(kubernetes.asked.every(({ authorization }) => authorization === 'Bearer my-token'));
});

test('the context gives the namespace of what names none', async (t) => {
  const kubernetes = await startShop(t);
  const kubeconfig = await kubernetes.kubeconfig(undefined, { namespace: 'shop' });
  const { code, out } = await etlctl(['cluster', 'members', '--kubeconfig', kubeconfig]);
  assert.deepEqual([code, out.split('\n').length], [0, 5]);
});

test('several kubeconfigs are one, and one that is missing does no harm', async (t) => {
  const kubernetes = await startShop(t);
  const real = await kubernetes.kubeconfig();
  const other = join(await kubernetes.folder(), 'other');
  const context = { name: 'there', context: { cluster: 'fake', user: 'anna', namespace: 'shop' } };
  await writeFile(other, JSON.stringify({ contexts: [context], 'current-context': 'there' }));
  const KUBECONFIG = [other, '/no/such', real].join(delimiter);
  const { code, err } = await etlctl([...services, '--context', 'there'], '', { KUBECONFIG });
  assert.deepEqual([code, err], [0, 'No services are registered.\n']);
  const all = await etlctl([...services, '--context', 'x'], '', { KUBECONFIG });
  assert.match(all.err, /has no context "x"; there are there, here\n$/);
  const none = await etlctl([...services, '--context', 'x'], '', { KUBECONFIG: '/a:/b' });
  assert.match(none.err, /KUBECONFIG \/a:\/b: none of the files exists\n$/);
});

test('a kubeconfig that is missing, broken or of another context is told by its name', async (t) => {
  const kubernetes = await startShop(t);
  const kubeconfig = await kubernetes.kubeconfig();
  const missing = await etlctl([...services, '--kubeconfig', '/no/such']);
  assert.deepEqual(
    [missing.code, missing.err],
    [2, 'error: --kubeconfig /no/such: does not exist\n'],
  );
  const context = await etlctl([...services, '--kubeconfig', kubeconfig, '--context', 'prod']);
  assert.equal(context.code, 2);
  assert.match(context.err, /has no context "prod"; there are here\n$/);
  await writeFile(kubeconfig, '{');
  const broken = await etlctl([...services, '--kubeconfig', kubeconfig]);
  assert.equal(broken.code, 2);
  assert.match(broken.err, /is no kubeconfig \(/);
  const nothing = await etlctl([...services, '--cluster', 'main'], '', { HOME: '/no/such' });
  assert.equal(nothing.code, 2);
  assert.match(
    nothing.err,
    /there is no kubeconfig: \/no\/such\/\.kube\/config does not exist; name one with/,
  );
});

test('an answer of many megabytes comes whole through the port', async (t) => {
  const kubernetes = await startShop(t);
  const address = 'a'.repeat(1000);
  const members = Array.from({ length: 5000 }, (_, at) => ({
    ...{ name: `m${at}`, raftId: String(at), address, grpcAddress: null, httpAddress: null },
    ...{ role: 'FOLLOWER', healthy: true, matchIndex: '1' },
  }));
  kubernetes.routers.set('main-2', (_asked, response) => {
    response.end(JSON.stringify({ data: { clusterStatus: routerStatus(2, { members }) } }));
  });
  const { code, out } = await shopCtl(kubernetes, ['cluster', 'members', '-o', 'name']);
  assert.deepEqual([code, out.split('\n').length], [0, 5001]);
});
