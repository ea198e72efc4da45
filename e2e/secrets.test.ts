// No key and no token stands where it does not belong: logs, statuses, events, ConfigMaps, pods, and the disks of members.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { tokenOf, withGraphQL } from './harness/graphql.ts';
import { operatorNamespace } from './harness/installation.ts';
import { isLocal, type KubeObject, kubectl, list } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { scenario } from './harness/scenario.ts';
import { applyClient, Writer } from './harness/writer.ts';

interface Secret extends KubeObject {
  readonly data?: { readonly [key: string]: string };
}

interface Volume extends KubeObject {
  readonly spec: {
    readonly claimRef?: { readonly namespace: string };
    readonly local?: { readonly path: string };
  };
}

/** What tells of a private key, and no other text has by chance: its lines, and as it stands in a Secret. */
async function partsOfKeys(namespace: string): Promise<readonly string[]> {
  const secrets = await list<Secret>('secrets', namespace);
  return secrets.flatMap(({ data = {} }) =>
    Object.entries(data)
      .filter(([key]) => key.endsWith('.key'))
      .flatMap(([, value]) => [...linesOf(value), middleOf(value)]),
  );
}

function linesOf(value: string): readonly string[] {
  const text = Buffer.from(value, 'base64').toString();
  return text.split('\n').filter((line) => /^[\w+/=]{40,}$/.test(line));
}

/** Beyond the header, which all keys have. */
function middleOf(value: string): string {
  const middle = value.slice(value.length / 2, value.length / 2 + 60);
  assert.equal(middle.length, 60, 'a key is longer');
  return middle;
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((file) => statSync(file).isFile());
}

scenario('secrets', 'no key and no token is found where it does not belong', async (run) => {
  const { namespace } = run;
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3, logLevel: 'debug' });
  await cluster.ready();
  const writer = await Writer.start({ namespace, cluster: 'main' });
  await applyClient(namespace, 'client', ['get', 'update']);
  const token = await tokenOf(namespace, 'client');
  const canary = 'canary-4f1d7c2be0a94c55';
  await withGraphQL(namespace, 'svc/main', async (ask) => {
    await ask('{ clusterStatus { leaderId } }', token);
    await ask('{ clusterStatus { leaderId } }', canary);
    await ask('mutation { clearResolvedErrors { success } }', token);
  });
  await writer.finish();

  const keys = await partsOfKeys(namespace);
  assert.ok(keys.length >= 6, 'there are private keys to look for');
  const signature = token.split('.')[2] ?? '';
  assert.ok(signature.length > 100);
  const forbidden = [...keys, signature, canary];

  const logs = (where: string, label: string): string[] => [
    ...['logs', '-n', where, '-l', label, '--tail=-1', '--max-log-requests=9'],
  ];
  const places: { readonly [place: string]: string } = {
    'logs of the routers': await kubectl(logs(namespace, 'etl.router/cluster=main')),
    'logs of the operator': await kubectl(
      logs(operatorNamespace, 'app.kubernetes.io/name=etl-operator'),
    ),
    objects: await kubectl(['get', 'erc,sts,pod,cm,svc,pdb,sa', '-n', namespace, '-o', 'yaml']),
    events: await kubectl(['get', 'events', '-n', namespace, '-o', 'yaml']),
  };
  const found = Object.entries(places).flatMap(([place, text]) => {
    assert.ok(text.length > 100, place);
    return forbidden
      .filter((each) => text.includes(each))
      .map((each) => `${place}: ${each.slice(0, 12)}…`);
  });
  if (isLocal) {
    const volumes = (await list<Volume>('pv')).filter(
      ({ spec }) => spec.claimRef?.namespace === namespace,
    );
    const files = volumes.flatMap(({ spec }) => filesBelow(spec.local?.path ?? ''));
    assert.ok(files.length > 3, 'the members wrote files');
    for (const file of files) {
      const bytes = readFileSync(file);
      found.push(
        ...forbidden
          .filter((each) => bytes.includes(each))
          .map((each) => `${file}: ${each.slice(0, 12)}…`),
      );
    }
    run.note('files of the members', files.length);
  }
  assert.deepEqual(found, []);
});
