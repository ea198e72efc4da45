// The API of the routers is closed: who shows no token is not known, who may look may not change, and the gRPC port wants
// a certificate.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tokenOf, withGraphQL } from './harness/graphql.ts';
import { root } from './harness/kubectl.ts';
import { everyMutation } from './harness/mutations.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { runScript } from './harness/script-pod.ts';
import { applyClient } from './harness/writer.ts';

interface Answered {
  readonly status: number;
  /** Headers that would open it to pages of others. */
  readonly allowed: readonly string[];
}

interface Report {
  readonly answers: { readonly [name: string]: Answered };
  readonly grpc: { readonly outcome: string; readonly why?: string };
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly type?: string;
  readonly body?: string;
}

type Requests = { readonly [name: string]: Asked };

const documents = (all: { readonly [name: string]: string }): Requests =>
  Object.fromEntries(
    Object.entries(all).map(([name, query]) => [
      name,
      {
        method: 'POST',
        path: '/graphql',
        type: 'application/json',
        body: JSON.stringify({ query }),
      },
    ]),
  );

const schema = readFileSync(join(root, 'router/src/api/graphql/schema.graphql'), 'utf8');
const looks = documents({
  look: '{ clusterStatus { leaderId } }',
  schema: '{ __schema { types { name } } }',
});
/** Snapshots hold all there is: who takes one along needs the right to change. */
const changes: Requests = {
  ...documents(everyMutation(schema)),
  'snapshot taken': { method: 'GET', path: '/backups/any' },
  'snapshot put': {
    method: 'PUT',
    path: `/backups/any?size=1&sha256=${'0'.repeat(64)}`,
    type: 'application/octet-stream',
    body: '1',
  },
};
/** What a browser asks before it lets a page of somebody else send. */
const preflights: Requests = {
  'may a page ask': { method: 'OPTIONS', path: '/graphql' },
  'may a page take a snapshot': { method: 'OPTIONS', path: '/backups/any' },
};

const looking = Object.keys(looks);
const changing = Object.keys(changes);

/** What a pod with that ServiceAccount is answered; left out: one without a token. */
async function askAs(namespace: string, serviceAccount?: string): Promise<Report> {
  const report = await runScript<Report>({
    namespace,
    name: serviceAccount === undefined ? 'stranger' : `stranger-${serviceAccount}`,
    script: 'stranger.mjs',
    env: {
      HOST: `main.${namespace}.svc.cluster.local`,
      REQUESTS: JSON.stringify({ ...looks, ...changes, ...preflights }),
    },
    ...(serviceAccount === undefined ? {} : { serviceAccount }),
  });
  const opened = Object.entries(report.answers).filter(([, { allowed }]) => allowed.length > 0);
  assert.deepEqual(opened, [], 'open to pages of others');
  const preflight = Object.keys(preflights).map((name) => report.answers[name]?.status);
  assert.deepEqual(preflight, [401, 401], 'who shows no token is told nothing');
  return report;
}

function assertAll({ answers }: Report, status: number, names: readonly string[]): void {
  const wrong = names.filter((name) => answers[name]?.status !== status);
  assert.deepEqual(
    wrong.map((name) => [name, answers[name]?.status]),
    [],
    `every answer is ${status}`,
  );
}

scenario(
  'access',
  'nobody is let in without a token, and nobody changes what he may see',
  async (run) => {
    const { namespace } = run;
    const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 1 });
    await cluster.ready();
    await applyClient(namespace, 'viewer', ['get']);
    await applyClient(namespace, 'editor', ['get', 'update']);
    await applyClient(namespace, 'nobody', ['list']);
    assert.ok(changing.length > 20);

    const stranger = await askAs(namespace);
    assertAll(stranger, 401, [...looking, ...changing]);
    run.note('gRPC without a certificate', stranger.grpc);
    assert.equal(stranger.grpc.outcome, 'refused');
    assert.match(stranger.grpc.why ?? '', /ALERT_CERTIFICATE_REQUIRED|ALERT_BAD_CERTIFICATE/);

    const viewer = await askAs(namespace, 'viewer');
    assertAll(viewer, 200, looking);
    assertAll(viewer, 403, changing);

    const nobody = await askAs(namespace, 'nobody');
    assertAll(nobody, 403, [...looking, ...changing]);

    const token = await tokenOf(namespace, 'editor');
    await withGraphQL(namespace, 'svc/main', async (ask) => {
      const { status, data } = await ask('mutation { clearResolvedErrors { success } }', token);
      assert.deepEqual(
        { status, data },
        { status: 200, data: { clearResolvedErrors: { success: true } } },
      );
      const changed = await ask('{ clusterStatus { leaderId } }', `${token.slice(0, -4)}AAAA`);
      assert.equal(changed.status, 401, 'a token that was changed');
    });
  },
);
