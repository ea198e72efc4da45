import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { load } from 'js-yaml';
import { etlctl, type Ran } from './harness.ts';
import {
  ordersLines,
  type StandaloneProcess,
  startStandalone,
  until,
} from './standalone-process.ts';

const userAnalytics = resolve(
  import.meta.dirname,
  '../../examples/manifests/pipelines/user-analytics.yaml',
);

const orders = `apiVersion: etl.router/v1
kind: EtlPipeline
metadata: { name: orders, namespace: shop }
spec:
  stages:
    - { name: in, sourceRef: { name: orders-file } }
    - { name: number, transformRef: { name: total-number } }
    - { name: out, sinkRef: { name: orders-out } }
  edges:
    - { from: in, to: number }
    - { from: number, to: out }
---
apiVersion: etl.router/v1
kind: EtlSource
metadata: { name: orders-file, namespace: shop }
spec: { file: { path: orders.jsonl } }
---
apiVersion: etl.router/v1
kind: EtlTransform
metadata: { name: total-number, namespace: shop }
spec: { cast: { casts: { total: int } } }
---
apiVersion: etl.router/v1
kind: EtlSink
metadata: { name: orders-out, namespace: shop }
spec: { file: { path: out.jsonl } }
`;

const numbers = (count: number): string => `apiVersion: etl.router/v1
kind: EtlSource
metadata: { name: numbers, namespace: lab }
spec: { generator: { count: ${count} } }
`;

suite('etlctl against a router', () => {
  let process: StandaloneProcess;
  before(async () => {
    process = await startStandalone();
    await writeFile(join(process.folder, 'orders.jsonl'), ordersLines);
  });
  after(() => process.close());

  const ask = (args: readonly string[], stdin = ''): Promise<Ran> =>
    etlctl(args, stdin, { ETLCTL_SERVER: process.server });
  /** What a command prints that must succeed. */
  const ok = async (args: readonly string[], stdin = ''): Promise<string> => {
    const { code, out, err } = await ask(args, stdin);
    assert.equal(code, 0, `${args.join(' ')}: ${out}${err}`);
    return out;
  };
  const query = async (text: string): Promise<{ readonly [field: string]: unknown }> => {
    const answer = await fetch(`${process.server}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: text }),
    });
    const { data, errors } = (await answer.json()) as { data: object; errors?: unknown };
    assert.equal(errors, undefined);
    return data as { readonly [field: string]: unknown };
  };

  test('the cluster is one member that leads, and whose only voter stays', async () => {
    assert.match(
      await ok(['cluster', 'status']),
      /\nhealth: {4}healthy\nleader: {4}1\nmembers: {3}1 voter\nasked: {5}1 \(id \d+\), leader\n/,
    );
    assert.match(await ok(['cluster', 'members']), /\n1 {6}\d+ {3}leader {3}yes {7}\d+ /);
    assert.equal(await ok(['cluster', 'transfer', '1']), 'member 1 leads\n');
    const removed = await ask(['cluster', 'remove', '1', '--yes', '--force']);
    assert.equal(removed.code, 3);
    assert.match(removed.err, /^error: member 1 \(id \d+\) is the last voter/);
    const added = await ask(['cluster', 'add', '2', '127.0.0.1:1', '--raft-id', '2']);
    assert.equal(added.code, 2);
    assert.match(added.err, /^error: member 2 can not be added: .* --peers/);
  });

  test('apply says created, unchanged, then configured', async () => {
    assert.equal(await ok(['apply', '-f', '-'], numbers(1)), 'source/numbers created\n');
    assert.equal(await ok(['apply', '-f', '-'], numbers(1)), 'source/numbers unchanged\n');
    assert.equal(await ok(['apply', '-f', '-'], numbers(2)), 'source/numbers configured\n');
  });

  test('what get prints is applied over the version it shows, and over no newer one', async () => {
    const read = await ok(['get', 'source', 'numbers', '-n', 'lab', '-o', 'yaml']);
    assert.match(read, /^ {2}resourceVersion: '\d+'$/m);
    for (const output of ['yaml', 'json']) {
      const same = await ok(['get', 'sources', '-n', 'lab', '-o', output]);
      assert.equal(await ok(['apply', '-f', '-'], same), 'source/numbers unchanged\n');
    }
    await ok(['apply', '-f', '-'], numbers(7));
    const edited = read.replace('count: 2', 'count: 8');
    for (const more of [[], ['--dry-run=server']]) {
      const { code, out, err } = await ask(['apply', '-f', '-', ...more], edited);
      assert.deepEqual([code, out], [5, '']);
      assert.match(err, /^error: source\/numbers refused: .* is at resource version \d+, not \d+/);
      assert.match(
        err,
        /etlctl get source\/numbers -n lab -o yaml, or leave metadata\.resourceVersion/,
      );
    }
    const json = await ask(['apply', '-f', '-', '-o', 'json'], edited);
    const { ok: done, error, result } = JSON.parse(json.out);
    assert.deepEqual([json.code, done, error.code], [5, false, 'ETL_CONFLICT']);
    assert.deepEqual([result[0].outcome, result[0].error.code], ['refused', 'ETL_CONFLICT']);
    const free = edited.replace(/^ {2}resourceVersion: .*\n/m, '');
    assert.equal(await ok(['apply', '-f', '-'], free), 'source/numbers configured\n');
    await ok(['apply', '-f', '-'], numbers(2));
  });

  test('of two that edit the same version at once, one is told of the conflict', async () => {
    const read = await ok(['get', 'source', 'numbers', '-n', 'lab', '-o', 'yaml']);
    const edits = [11, 12].map((count) => read.replace('count: 2', `count: ${count}`));
    const runs = await Promise.all(edits.map((edit) => ask(['apply', '-f', '-'], edit)));
    assert.deepEqual(
      runs.map(({ code }) => code).toSorted((a, b) => a - b),
      [0, 5],
    );
    await ok(['apply', '-f', '-'], numbers(2));
  });

  test('a pipeline is named alone, with its namespace, or with its kind', async () => {
    await ok(['apply', '-f', '-'], orders.replaceAll('orders', 'named'));
    for (const args of [
      ['named', '-n', 'shop'],
      ['shop/named'],
      ['pipeline/named', '-n', 'shop'],
      ['shop/named', '-n', 'shop'],
    ]) {
      await ok(['graph', ...args]);
      await ok(['dlq', 'ls', ...args]);
      await ok(['pause', ...args]);
    }
    await ok(['delete', '-f', '-'], orders.replaceAll('orders', 'named'));
  });

  test('resourceVersion 0 creates and never replaces', async () => {
    const fresh = (count: number): string =>
      numbers(count).replace('{ name: numbers,', '{ name: fresh, resourceVersion: 0,');
    assert.equal(await ok(['apply', '-f', '-'], fresh(1)), 'source/fresh created\n');
    assert.equal((await ask(['apply', '-f', '-'], fresh(2))).code, 5);
    await ok(['delete', 'source', 'fresh', '-n', 'lab']);
  });

  test('a dry run says what would happen and changes nothing', async () => {
    const there = await ok(['get', 'sources', '-A', '-o', 'json']);
    assert.equal(
      await ok(['apply', '-f', '-', '--dry-run=client'], numbers(3)),
      'source/numbers valid (client dry run)\n',
    );
    assert.equal(
      await ok(['apply', '-f', '-', '--dry-run'], numbers(3)),
      'source/numbers configured (server dry run)\n',
    );
    assert.equal(await ok(['get', 'sources', '-A', '-o', 'json']), there);
  });

  test('a dry run does not miss what the same command would create', async () => {
    const trial = orders.replaceAll('orders', 'trial');
    const whole = await ask(['apply', '-f', '-', '--dry-run'], trial);
    assert.deepEqual([whole.code, whole.err], [0, '']);
    const [pipeline] = trial.split('---\n') as [string];
    const alone = await ask(['apply', '-f', '-', '--dry-run'], pipeline);
    assert.equal(alone.code, 0);
    assert.match(alone.err, /there is no EtlSource "trial-file" in namespace shop/);
    assert.match(alone.err, /there is no EtlSink "trial-out" in namespace shop/);
    const json = await ok(['apply', '-f', '-', '--dry-run', '-o', 'json'], pipeline);
    const [{ outcome, findings }] = JSON.parse(json).result;
    assert.equal(outcome, 'created');
    assert.ok(findings.some(({ code }: { code: string }) => code === 'UnresolvedRef'));
  });

  test('a setting that only the router can judge is refused with exit code 2 and stored nowhere', async () => {
    const wrong = numbers(1)
      .replace('name: numbers', 'name: wrong')
      .replace('count: 1', 'cuont: 1');
    for (const more of [[], ['--dry-run=server']]) {
      const { code, out, err } = await ask(['apply', '-f', '-', ...more], wrong);
      assert.equal(code, 2, out + err);
      assert.match(out + err, /cuont/);
    }
    assert.equal((await ask(['get', 'source', 'wrong', '-n', 'lab'])).code, 4);
  });

  test('a folder is applied, what pipelines refer to first, and subfolders only with -R', async () => {
    const folder = join(process.folder, 'manifests');
    await mkdir(join(folder, 'more'), { recursive: true });
    await writeFile(join(folder, 'a.yaml'), orders.replaceAll('orders', 'bills'));
    await writeFile(join(folder, 'more/b.yaml'), numbers(2).replace('numbers', 'deeper'));
    await writeFile(join(process.folder, 'bills.jsonl'), '');
    assert.equal(
      await ok(['apply', '-f', folder]),
      'source/bills-file created\ntransform/total-number created\nsink/bills-out created\npipeline/bills created\n',
    );
    assert.match(await ok(['apply', '-f', folder, '-R']), /^source\/deeper created$/m);
    await ok(['delete', '-f', folder, '-R']);
  });

  test('a pipeline of the earlier dialect is stored, and its four references are shown as unresolved', async () => {
    assert.equal(await ok(['apply', '-f', userAnalytics]), 'pipeline/user-analytics created\n');
    const row = (await ok(['get', 'pipelines'])).split('\n')[1] ?? '';
    assert.match(row, /^user-analytics {3}False {3}\s*pending /);
    const described = await ok(['describe', 'pipeline', 'user-analytics']);
    for (const line of [
      'no EtlSource kafka-user-events in namespace default',
      'no EtlTransform filter-active-users in namespace default',
      'no EtlTransform mask-pii in namespace default',
      'no EtlSink grpc-analytics in namespace default',
    ])
      assert.ok(described.includes(line), described);
    assert.match(await ok(['get', 'pipelines', '-o', 'wide']), /kafka-user-events/);
    assert.match(await ok(['graph', 'user-analytics']), /kafka-user-events/);
  });

  test('get lists in every output, and its YAML can be applied again', async () => {
    assert.match(await ok(['get', 'sources', '-n', 'lab']), /^NAME .*AGE\nnumbers +generator +0 /);
    assert.match(await ok(['get', 'sources', '-A']), /^NAMESPACE +NAME .*\n(.*\n)*lab +numbers /);
    assert.equal(await ok(['get', 'sources', '-n', 'lab', '-o', 'name']), 'source/numbers\n');
    const list = JSON.parse(await ok(['get', 'sources', '-n', 'lab', '-o', 'json']));
    assert.equal(list.kind, 'List');
    assert.equal(list.items.length, 1);
    assert.deepEqual(list.items[0].spec, { generator: { count: 2 } });
    const yaml = await ok(['get', 'source', 'numbers', '-n', 'lab', '-o', 'yaml']);
    assert.deepEqual(load(yaml), list.items[0]);
    assert.equal(await ok(['apply', '-f', '-'], yaml), 'source/numbers unchanged\n');
    const all = await ok(['get', 'pipelines', '-A', '-o', 'yaml']);
    assert.match(await ok(['apply', '-f', '-'], all), /^pipeline\/user-analytics unchanged$/m);
    const none = await ask(['get', 'sinks', '-n', 'nowhere']);
    assert.deepEqual([none.code, none.out], [0, '']);
    assert.match(none.err, /No sinks found in namespace nowhere/);
  });

  test('a name that is in two namespaces is shown twice, and a description is no type', async () => {
    const here = numbers(2).replace('spec: {', 'spec: { description: two of them,');
    await ok(['apply', '-f', '-'], here.replace('lab', 'lab-two'));
    assert.match(await ok(['get', 'sources', '-n', 'lab-two']), /^numbers +generator /m);
    const both = JSON.parse(await ok(['get', 'source', 'numbers', '-A', '-o', 'json']));
    assert.equal(both.kind, 'List');
    assert.deepEqual(
      both.items.map((item: { metadata: { namespace: string } }) => item.metadata.namespace),
      ['lab', 'lab-two'],
    );
    await ok(['delete', 'source', 'numbers', '-n', 'lab-two']);
  });

  test('a registered service is listed, described by name or id, and deleted', async () => {
    await query(`mutation { registerService(input: {
      serviceId: "mask-1", serviceName: "mask", serviceType: TRANSFORM, endpoint: "127.0.0.1:7001",
      labels: [{ key: "zone", value: "a" }] }) { success message } }`);
    assert.match(await ok(['get', 'services']), /^mask +mask-1 +transform +127\.0\.0\.1:7001 /m);
    for (const name of ['mask', 'mask-1']) {
      const text = await ok(['describe', 'service', name]);
      assert.match(text, /^Endpoint: +127\.0\.0\.1:7001$/m);
      assert.match(text, /^Labels: +zone=a$/m);
    }
    assert.equal(await ok(['delete', 'service', 'mask-1']), 'service/mask-1 deleted\n');
    assert.equal((await ask(['describe', 'service', 'mask'])).code, 4);
  });

  test('dead letters are listed, shown, sent again and discarded', async () => {
    await ok(['apply', '-f', '-'], orders);
    const ls = ['dlq', 'ls', 'orders', '-n', 'shop'];
    const letters = async (): Promise<{ id: string; payloadText: string; redriving: boolean }[]> =>
      JSON.parse(await ok([...ls, '-o', 'json'])).items;
    const [first, second] = await until(async () => {
      const items = await letters();
      return items.length === 2 ? items : undefined;
    }, 'two dead letters');
    assert.ok(first !== undefined && second !== undefined);
    assert.match(await ok(ls), /^STAGE .*\nnumber +CAST_FAILED +2 /);
    assert.equal(await ok([...ls, '-o', 'name']), `${first.id}\n${second.id}\n`);
    assert.match(
      await ok(['dlq', 'show', 'orders', first.id, '-n', 'shop']),
      /payload:\n\{"id":2,"total":"ten"\}\n/,
    );
    assert.equal((await ask(['dlq', 'show', 'orders', 'nope', '-n', 'shop'])).code, 4);
    const act = (...args: string[]): string[] => ['dlq', ...args, '-n', 'shop'];
    assert.equal((await ask(act('redrive', 'orders'))).code, 2);
    assert.equal(
      await ok(act('redrive', 'orders', '--all', '--dry-run')),
      '2 dead letters would be sent again\n',
    );
    assert.equal(await ok(act('discard', 'orders', second.id)), '1 dead letter discarded\n');
    assert.equal((await letters()).length, 1);
    assert.equal((await ask(act('discard', 'orders', second.id))).code, 4);
    const epoch = async (): Promise<number> => {
      const described = await ok(['describe', 'pipeline', 'orders', '-n', 'shop', '-o', 'json']);
      return Number(JSON.parse(described).result.offsets[0].epoch);
    };
    const strictEpoch = await epoch();
    const lenient = orders.replace('total: int', 'total: string');
    assert.match(await ok(['apply', '-f', '-'], lenient), /transform\/total-number configured/);
    await until(
      async () => ((await epoch()) > strictEpoch ? true : undefined),
      'the run with the lenient cast',
    );
    assert.match(await ok(act('redrive', 'orders', '--all')), /^1 dead letter sent again/);
    await until(
      async () => ((await letters()).length === 0 ? true : undefined),
      'the redriven record',
    );
    const stored = (await readFile(join(process.folder, 'out.jsonl'), 'utf8')).trim().split('\n');
    assert.deepEqual(
      stored.map((line) => JSON.parse(line).id as number).sort((a, b) => a - b),
      [1, 2, 3, 5],
    );
  });

  test('pause and resume change the state and nothing else', async () => {
    const before = JSON.parse(await ok(['get', 'pipeline', 'orders', '-n', 'shop', '-o', 'json']));
    assert.equal(await ok(['pause', 'orders', '-n', 'shop']), 'pipeline/orders paused\n');
    const paused = JSON.parse(await ok(['get', 'pipeline', 'orders', '-n', 'shop', '-o', 'json']));
    assert.equal(paused.spec.state, 'paused');
    assert.equal(
      await ok(['pause', 'pipeline', 'orders', '-n', 'shop']),
      'pipeline/orders paused\n',
    );
    assert.equal(
      await ok(['resume', 'pipeline/orders', '-n', 'shop']),
      'pipeline/orders resumed\n',
    );
    const after = JSON.parse(await ok(['get', 'pipeline', 'orders', '-n', 'shop', '-o', 'json']));
    assert.deepEqual({ ...after.spec, state: 'running' }, { ...before.spec, state: 'running' });
    assert.equal((await ask(['pause', 'nobody', '-n', 'shop'])).code, 4);
  });

  test('graph draws what the router has, in three formats', async () => {
    assert.match(await ok(['graph', 'orders', '-n', 'shop']), /number/);
    assert.match(await ok(['graph', 'orders', '-n', 'shop', '--format', 'dot']), /^digraph /);
    assert.match(
      await ok(['graph', 'orders', '-n', 'shop', '--format', 'mermaid']),
      /^(flowchart|graph) /,
    );
    assert.equal((await ask(['graph', 'nobody'])).code, 4);
  });

  test('version tells both sides', async () => {
    assert.match(await ok(['version']), /^etlctl \d\S+ \(\S+\)\nrouter \d\S+ \(\S+\)\n$/);
  });

  test('delete tells what was not there with exit code 4, unless it may be missing', async () => {
    const missing = await ask(['delete', 'source', 'nobody']);
    assert.equal(missing.code, 4);
    assert.match(missing.err, /nobody/);
    assert.equal(
      await ok(['delete', 'source', 'nobody', '--ignore-not-found']),
      'source/nobody not found\n',
    );
    assert.equal(
      await ok(['delete', '-f', '-'], orders),
      'pipeline/orders deleted\nsink/orders-out deleted\ntransform/total-number deleted\nsource/orders-file deleted\n',
    );
    assert.equal((await ask(['delete', '-f', '-'], orders)).code, 4);
  });

  test('-o json is one envelope, of success and of failure', async () => {
    const done = JSON.parse(await ok(['apply', '-f', '-', '-o', 'json'], numbers(2)));
    assert.deepEqual(done, {
      command: 'apply',
      ok: true,
      summary: 'source/numbers unchanged',
      result: [
        {
          kind: 'EtlSource',
          namespace: 'lab',
          name: 'numbers',
          ok: true,
          outcome: 'unchanged',
          error: null,
          findings: [],
        },
      ],
      error: null,
    });
    const { code, out, err } = await ask(['describe', 'pipeline', 'nobody', '-o', 'json']);
    assert.deepEqual([code, err], [4, '']);
    const failed = JSON.parse(out);
    assert.equal(failed.ok, false);
    assert.equal(failed.error.code, 'ETL_NOT_FOUND');
  });
});
