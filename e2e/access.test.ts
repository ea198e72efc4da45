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

interface Report {
  readonly answers: {
    readonly [name: string]: { readonly status: number; readonly allowsOrigin: string | null };
  };
  readonly grpc: { readonly outcome: string; readonly why?: string };
}

const schema = readFileSync(join(root, 'router/src/api/graphql/schema.graphql'), 'utf8');
const mutations = everyMutation(schema);
const looks = { look: '{ clusterStatus { leaderId } }', schema: '{ __schema { types { name } } }' };

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
    const HOST = `main.${namespace}.svc.cluster.local`;
    const statusesOf = async (name: string, account?: string): Promise<Report> => {
      const env = { HOST, DOCUMENTS: JSON.stringify({ ...looks, ...mutations }) };
      const token = account === undefined ? {} : { TOKEN: await tokenOf(namespace, account) };
      return runScript<Report>({
        namespace,
        name,
        script: 'stranger.mjs',
        env: { ...env, ...token },
      });
    };
    assert.ok(Object.keys(mutations).length > 20);
    const all = (report: Report, status: number, names: readonly string[]): void => {
      const wrong = names.filter((name) => report.answers[name]?.status !== status);
      assert.deepEqual(
        wrong.map((name) => [name, report.answers[name]?.status]),
        [],
      );
    };
    const looking = Object.keys(looks);
    const changing = Object.keys(mutations);

    const stranger = await statusesOf('stranger');
    all(stranger, 401, [...looking, ...changing]);
    assert.equal(stranger.grpc.outcome, 'refused', JSON.stringify(stranger.grpc));
    run.note('gRPC without a certificate', stranger.grpc);
    assert.ok(Object.values(stranger.answers).every(({ allowsOrigin }) => allowsOrigin === null));

    const viewer = await statusesOf('viewer-pod', 'viewer');
    all(viewer, 200, looking);
    all(viewer, 403, changing);

    const nobody = await statusesOf('nobody-pod', 'nobody');
    all(nobody, 403, [...looking, ...changing]);

    const token = await tokenOf(namespace, 'editor');
    await withGraphQL(namespace, 'main', async (ask) => {
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
