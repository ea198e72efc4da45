import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { suite, test } from 'node:test';
import { silentLogger } from '@etl-router/core';
import { serveSink } from '@etl-router/sdk';
import {
  allIdentities,
  Folder,
  type Generated,
  identities,
  pipelineState,
  type Running,
  until,
} from './harness.ts';
import { generator, jsonl, pipeline } from './manifests.ts';

/** Who is away is asked again at least twice a second, so that no test waits for a backoff that has grown. */
const soon = { backoff: { initial: '100ms', cap: '500ms' } };

/** An address on which nobody listens now. */
async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${port}`;
}

/** A column of a stage's row in the summary. */
function summarized(out: string, stage: string, column: string): number {
  const [header = '', ...rows] = out.slice(out.indexOf('  STAGE ')).split('\n');
  const row = rows.find((each) => each.trim().startsWith(`${stage} `)) ?? '';
  const at = header.trim().split(/\s+/).indexOf(column);
  return Number((row.trim().split(/\s+/)[at] ?? '').replaceAll(',', ''));
}

suite('a service that is away', { concurrency: 2 }, () => {
  for (const policy of ['spill', 'deadLetter', 'drop'] as const) {
    test(`a sink that is away behind an edge that says ${policy} keeps nothing from the other, and goes on once it is there`, async (t) => {
      const folder = await Folder.make(t);
      const address = await freeAddress();
      const objects = pipeline('numbers', {
        source: generator(1, 3000),
        sinks: { lines: jsonl('out/lines.jsonl'), away: { grpc: { endpoint: address } } },
        edges: { away: { overflow: { policy } } },
        spec: {
          limits: { inFlightRecords: 500 },
          delivery: { require: policy === 'drop' ? 'atMostOnce' : 'atLeastOnce', retry: soon },
        },
      });
      await folder.write('p.yaml', objects);
      const running = folder.start('--apply', 'p.yaml', '--once');
      const tell = (): string => running.out + running.err;
      await until('all lines', () => folder.lines('out/lines.jsonl').length === 3000, tell);
      assert.equal(running.hasEnded, false, 'it waits for the sink that is away');
      const received: Generated[] = [];
      const service = await serveSink({
        name: 'away',
        address,
        logger: silentLogger,
        closeTimeoutMs: 0,
        write: (records) => void received.push(...records.map((each) => each.json<Generated>())),
      });
      t.after(() => service.close());
      const { code, out, err } = await running.ended();
      assert.equal(code, 0, out + err);
      const lines = folder.lines<Generated>('out/lines.jsonl');
      assert.deepEqual(identities(lines), allIdentities(1, 3000));
      const [dead, dropped] = ['DEAD', 'DROPPED'].map((column) => summarized(out, 'away', column));
      assert.equal(new Set(identities(received)).size, received.length, 'none came twice');
      assert.equal(received.length + (dead ?? 0) + (dropped ?? 0), 3000, out);
      assert.deepEqual(
        { dead: (dead ?? 0) > 0, dropped: (dropped ?? 0) > 0 },
        { dead: policy === 'deadLetter', dropped: policy === 'drop' },
        out,
      );
    });
  }

  test('a transform that is down at the start, comes, is killed and comes back loses nothing', async (t) => {
    const folder = await Folder.make(t);
    const address = await freeAddress();
    const objects = pipeline('numbers', {
      source: generator(2, undefined, 1000),
      transforms: { mark: { grpc: { endpoint: address } } },
      sinks: { lines: jsonl('out/lines.jsonl') },
      spec: { delivery: { retry: soon } },
    });
    await folder.write('p.yaml', objects);
    const marked = (mark: string): number =>
      folder.lines<{ mark: string }>('out/lines.jsonl').filter((line) => line.mark === mark).length;
    const script = new URL('mark-service.ts', import.meta.url).pathname;
    const serve = (mark: string): Running =>
      folder.run(process.execPath, ['--conditions=etl-source', script, address, mark]);
    const running = folder.start('--apply', 'p.yaml');
    const tell = (): string => running.out + running.err;
    await until('the wait for it', () => running.out.includes('waiting: mark'), tell);
    const first = serve('first');
    await until('its first records', () => marked('first') > 200, tell);
    await first.end('SIGKILL');
    const said = running.out.length;
    await until('the wait for it again', () => running.out.includes('waiting: mark', said), tell);
    serve('second');
    await until('records after it came back', () => marked('second') > 200, tell);
    const { code, out, err } = await running.end('SIGTERM');
    assert.equal(code, 0, out + err);
    const lines = folder.lines<Generated>('out/lines.jsonl');
    for (const lane of ['0', '1']) {
      const of = lines.filter((line) => line.lane === lane);
      assert.deepEqual(
        of.map(({ seq }) => seq),
        of.map((_, at) => at),
        `lane ${lane}: all of them, in order, once`,
      );
    }
  });
});

test('what can not be processed is listed and shown, sent again once the cause is mended, or given up', async (t) => {
  const folder = await Folder.make(t);
  const amounts = ['1', 'poison', '3', 'venom', '5'];
  await folder.write('in.jsonl', amounts.map((amount) => `{"amount":"${amount}"}\n`).join(''));
  for (const type of ['int64', 'string']) {
    const objects = pipeline('orders', {
      source: { file: { path: 'in.jsonl', format: 'jsonl' } },
      transforms: { number: { cast: { casts: { amount: type } } } },
      sinks: { lines: jsonl('out/lines.jsonl') },
    });
    await folder.write(`${type}.yaml`, objects);
  }
  const stored = (): unknown[] =>
    folder.lines<{ amount: unknown }>('out/lines.jsonl').map(({ amount }) => amount);
  const running = folder.start('--apply', 'int64.yaml');
  const server = await running.server();
  await until('the end of the file', () => running.out.includes('orders: completed'));
  assert.deepEqual(stored(), [1, 3, 5]);
  assert.match(await folder.etlctl(server, 'dlq', 'ls', 'orders'), /^number\s+CAST_FAILED\s+2\s/m);
  const ids = (await folder.etlctl(server, 'dlq', 'ls', 'orders', '-o', 'name')).trim().split('\n');
  const shown = await Promise.all(
    ids.map((id) => folder.etlctl(server, 'dlq', 'show', 'orders', id)),
  );
  assert.deepEqual(
    new Set(shown.map((text) => /"(poison|venom)"/.exec(text)?.[1])),
    new Set(['poison', 'venom']),
    shown.join('\n'),
  );
  const [poison, venom] = shown[0]?.includes('poison') ? ids : ids.toReversed();
  const epoch = async (): Promise<number> =>
    Number((await pipelineState(server, 'orders')).offsets[0]?.epoch);
  const before = await epoch();
  await folder.etlctl(server, 'apply', '-f', 'string.yaml');
  await until('the change to be taken', async () => (await epoch()) > before);
  await folder.etlctl(server, 'dlq', 'redrive', 'orders', poison as string);
  await until('what was sent again', () => stored().length === 4);
  assert.deepEqual(stored(), [1, 3, 5, 'poison']);
  const letters = async (): Promise<number> => (await pipelineState(server, 'orders')).deadLetters;
  await until('the end of its dead letter', async () => (await letters()) === 1);
  const left = await folder.etlctl(server, 'dlq', 'ls', 'orders', '-o', 'name');
  assert.equal(left.trim(), venom);
  await folder.etlctl(server, 'dlq', 'discard', 'orders', venom as string);
  assert.equal(await letters(), 0);
  assert.equal((await running.end('SIGTERM')).code, 0);
  assert.deepEqual(stored(), [1, 3, 5, 'poison']);
});
