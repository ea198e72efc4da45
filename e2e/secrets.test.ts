// No key and no token stands where it does not belong: logs, statuses, events, ConfigMaps, pods, and the disks of members.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { tokenOf, withGraphQL } from './harness/graphql.ts';
import { operatorName, operatorNamespace } from './harness/installation.ts';
import { apply, isLocal, type KubeObject, kubectl, list } from './harness/kubectl.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { type Scenario, scenario } from './harness/scenario.ts';
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

/** The first characters tell which one it is, and give nothing away. */
const found = (where: string, content: string | Buffer, forbidden: readonly string[]): string[] =>
  forbidden
    .filter((each) => content.includes(each))
    .map((each) => `${where}: ${each.slice(0, 12)}…`);

interface Place {
  readonly text: string;
  /** Is known to be there: who searches finds it. */
  readonly known: string;
}

/** All that is told of the cluster and of the operator, by what it is. */
async function placesOf(namespace: string): Promise<{ readonly [name: string]: Place }> {
  const logs = (where: string, label: string): Promise<string> =>
    kubectl(['logs', '-n', where, '-l', label, '--tail=-1', '--max-log-requests=9']);
  const yaml = (what: string, where: string): Promise<string> =>
    kubectl(['get', what, '-n', where, '-o', 'yaml']);
  return {
    'logs of the routers': {
      text: await logs(namespace, routers),
      known: 'the router is ready',
    },
    'logs of the operator': {
      text: await logs(operatorNamespace, operators),
      known: `"${namespace}/main"`,
    },
    objects: {
      text: await yaml('erc,sts,pod,cm,svc,pdb,sa', namespace),
      known: `name: ${planted}`,
    },
    events: { text: await yaml('events', namespace), known: 'name: main-1' },
    'objects of the operator': {
      text: await yaml('deployment,pod,cm,svc,pdb,sa,lease', operatorNamespace),
      known: `name: ${operatorName}`,
    },
  };
}

/** What need not be there: events are gone after an hour, and only who was restarted has logs of before. */
async function morePlacesOf(namespace: string): Promise<{ readonly [name: string]: string }> {
  const previous = async (where: string, label: string): Promise<string> => {
    const names = (await list('pods', where, label)).map(({ metadata }) => metadata.name);
    const args = ['logs', '-n', where, '--previous', '--all-containers'];
    const texts = names.map((name) => kubectl([...args, name]).catch(() => ''));
    return (await Promise.all(texts)).join('');
  };
  return {
    'earlier logs of the routers': await previous(namespace, routers),
    'earlier logs of the operator': await previous(operatorNamespace, operators),
    'events of the operator': await kubectl([
      'get',
      'events',
      '-n',
      operatorNamespace,
      '-o',
      'yaml',
    ]),
  };
}

/** Files of the members' volumes that hold something of this. */
async function searchDisks(
  run: Scenario,
  forbidden: readonly string[],
  known: string,
): Promise<readonly string[]> {
  if (!isLocal) {
    run.note('files of the members', 'not searched: only disks of the local cluster can be read');
    return [];
  }
  const volumes = (await list<Volume>('pv')).filter(
    ({ spec }) => spec.claimRef?.namespace === run.namespace,
  );
  const files = volumes.flatMap(({ spec }) => filesBelow(spec.local?.path ?? ''));
  const contents = files.map((file) => [file, readFileSync(file)] as const);
  const holders = contents.filter(([, bytes]) => bytes.includes(known));
  assert.ok(holders.length >= 3, `${known} is found on the disk of each member`);
  run.note('files of the members', files.length);
  return contents.flatMap(([file, bytes]) => found(file, bytes, forbidden));
}

const routers = 'etl.router/cluster=main';
const operators = `app.kubernetes.io/name=${operatorName}`;

/** A Secret of the user, and what it holds: no member starts without it, as a variable. */
const planted = 'planted-by-the-test';
const word = 'planted-9b3e60d17fa2';

scenario('secrets', 'no key and no token is found where it does not belong', async (run) => {
  const { namespace } = run;
  await apply({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: planted, namespace },
    stringData: { word },
  });
  const env = [
    { name: 'PLANTED_WORD', valueFrom: { secretKeyRef: { name: planted, key: 'word' } } },
  ];
  const spec = { replicas: 3, logLevel: 'debug', template: { env } };
  const cluster = await RouterCluster.apply(namespace, 'main', spec);
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
  const encoded = Buffer.from(word).toString('base64');
  const forbidden = [...keys, signature, canary, word, encoded];

  const places = await placesOf(namespace);
  for (const [place, { text, known }] of Object.entries(places))
    assert.ok(text.includes(known), `${known} is found in ${place}`);
  const said = Object.entries(places).map(([place, { text }]) => [place, text] as const);
  const more = Object.entries(await morePlacesOf(namespace));
  const inPlaces = [...said, ...more].flatMap(([place, text]) => found(place, text, forbidden));
  const onDisks = await searchDisks(run, forbidden, '/w0-0.csv');
  assert.deepEqual([...inPlaces, ...onDisks], []);
});
