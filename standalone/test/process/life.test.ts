import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { suite, test } from 'node:test';
import { silentLogger } from '@etl-router/core';
import { serveSink } from '@etl-router/sdk';
import { allIdentities, Folder, type Generated, identities, until } from './harness.ts';
import { generator, jsonl, manifest, pipeline } from './manifests.ts';

const columns = { lane: 'VARCHAR', seq: 'BIGINT', sum: 'VARCHAR' };

suite('the life of the process', { concurrency: 2 }, () => {
  test('killed twice and started again, each sink holds every record once', async (t) => {
    const count = 8000;
    const folder = await Folder.make(t);
    const numbers = (rate?: number): object[] =>
      pipeline('numbers', {
        source: generator(2, count, rate),
        sinks: {
          lines: jsonl('out/lines.jsonl'),
          table: { duckdb: { path: 'out/out.duckdb', table: 'numbers', columns } },
        },
        spec: { delivery: { require: 'exactlyOnce' } },
      });
    // So slow that it is seen on its way, seconds before its end.
    await folder.write('slow.yaml', numbers(1500));
    await folder.write('fast.yaml', numbers());
    const length = (): number => folder.lines('out/lines.jsonl').length;
    for (const enough of [500, 3000]) {
      const running = folder.start('--apply', 'slow.yaml', '--once');
      await until(
        `${enough} lines`,
        () => length() >= enough,
        () => running.out + running.err,
      );
      assert.equal((await running.end('SIGKILL')).signal, 'SIGKILL');
      assert.ok(length() < 2 * count, 'it was killed on the way');
    }
    const { code, out, err } = await folder.start('--apply', 'fast.yaml', '--once').ended();
    assert.equal(code, 0, out + err);
    const expected = allIdentities(2, count);
    assert.deepEqual(identities(folder.lines<Generated>('out/lines.jsonl')), expected);
    const rows = await folder.query('out/out.duckdb', 'select lane, seq from numbers');
    const table = rows.map(([lane, seq]) => ({ lane: String(lane), seq: Number(seq) }));
    assert.deepEqual(identities(table), expected);
  });

  for (const { signal, args, code } of [
    { signal: 'SIGTERM', args: [], code: 0 },
    { signal: 'SIGINT', args: [], code: 0 },
    { signal: 'SIGTERM', args: ['--once'], code: 143 },
    { signal: 'SIGINT', args: ['--once'], code: 130 },
  ] as const) {
    test(`${signal} ${args.join(' ')} drains and ends with ${code}, and nothing is read twice`, async (t) => {
      const folder = await Folder.make(t);
      const objects = pipeline('numbers', {
        source: generator(1, undefined, 1000),
        sinks: { lines: jsonl('out/lines.jsonl') },
      });
      await folder.write('p.yaml', objects);
      const running = folder.start('--apply', 'p.yaml', ...args);
      await until('lines', () => folder.lines('out/lines.jsonl').length > 0);
      const ended = await running.end(signal);
      assert.deepEqual([ended.code, ended.err], [code, '']);
      assert.match(ended.out, /draining/);
      const lines = folder.lines<Generated>('out/lines.jsonl');
      assert.deepEqual(identities(lines), allIdentities(1, lines.length));
    });
  }

  for (const { args, code } of [
    { args: [], code: 0 },
    { args: ['--once'], code: 141 },
  ]) {
    test(`a reader of the output that goes away ends it ${args.join(' ')} without a word, and nothing is read twice`, async (t) => {
      const folder = await Folder.make(t);
      const objects = pipeline('numbers', {
        source: generator(1, undefined, 1000),
        sinks: { lines: jsonl('out/lines.jsonl') },
      });
      await folder.write('p.yaml', objects);
      const running = folder.start('--apply', 'p.yaml', ...args);
      await until('lines', () => folder.lines('out/lines.jsonl').length > 0);
      running.child.stdout?.destroy();
      const ended = await running.ended();
      assert.deepEqual([ended.code, ended.signal, ended.err], [code, null, '']);
      const lines = folder.lines<Generated>('out/lines.jsonl');
      assert.deepEqual(identities(lines), allIdentities(1, lines.length));
    });
  }

  test('a second signal, of whichever kind, ends a drain that waits for a sink that does not answer', async (t) => {
    const folder = await Folder.make(t);
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    const service = await serveSink({
      name: 'silent',
      logger: silentLogger,
      closeTimeoutMs: 0,
      write: () => {
        asked.resolve();
        return answer.promise;
      },
    });
    t.after(() => {
      answer.resolve();
      return service.close();
    });
    const sinks = { silent: { grpc: { endpoint: service.address } } };
    const source = generator(1, undefined, 1000);
    await folder.write('p.yaml', pipeline('stuck', { source, sinks }));
    const running = folder.start('--apply', 'p.yaml');
    await asked.promise;
    running.child.kill('SIGINT');
    await until('draining', () => running.out.includes('draining'));
    assert.equal(running.hasEnded, false, 'it waits for the sink');
    assert.equal((await running.end('SIGTERM')).code, 143);
  });

  test('storage that fails ends the process with 1 and what to do, and a start afterwards goes on', async (t) => {
    const folder = await Folder.make(t);
    const sink = { lines: jsonl('out/lines.jsonl') };
    const source = generator(1, undefined, 500);
    await folder.write('p.yaml', pipeline('numbers', { source, sinks: sink }));
    // A limit of file sizes is a disk that refuses to write: segments of 2 MiB stay below it, what is applied does not.
    const main = new URL('../../src/main.ts', import.meta.url).pathname;
    const flags =
      '--data-dir data --log-quota-bytes 16777216 --listen-addr 127.0.0.1:0 --http-addr 127.0.0.1:0 --metrics-addr off';
    const command = `ulimit -f 5120; exec "$0" --conditions=etl-source "$1" ${flags} --apply p.yaml`;
    const running = folder.run('sh', ['-c', command, process.execPath, main]);
    const server = await running.server();
    await until('lines', () => folder.lines('out/lines.jsonl').length > 0);
    let told = '';
    const query =
      'mutation ($input: ApplyObjectInput!) { applyObject(input: $input) { success message } }';
    for (let at = 0; at < 400 && !running.hasEnded; at++) {
      const map = { mappings: [{ target: 'x', literal: 'y'.repeat(100_000) }] };
      const text = JSON.stringify(manifest('EtlTransform', `filler-${at}`, { map }));
      const body = JSON.stringify({ query, variables: { input: { manifest: text } } });
      const headers = { 'content-type': 'application/json' };
      // Where the log fails the answer says so, or there is nobody left to answer; what counts is how the process ends.
      const answer = await fetch(`${server}/graphql`, { method: 'POST', headers, body }).catch(
        () => undefined,
      );
      told = (await answer?.text()) ?? told;
    }
    const ended = await running.ended();
    assert.equal(ended.code, 1, told + ended.out + ended.err);
    assert.match(ended.err, /^error: .*(check the disk|start again)/m);
    assert.doesNotMatch(ended.err, /^\s+at /m);
    const before = folder.lines('out/lines.jsonl').length;
    const again = folder.start('--apply', 'p.yaml');
    await until('more lines', () => folder.lines('out/lines.jsonl').length > before);
    assert.equal((await again.end('SIGTERM')).code, 0);
    const lines = folder.lines<Generated>('out/lines.jsonl');
    assert.deepEqual(identities(lines), allIdentities(1, lines.length));
  });
});

suite('what keeps the process from starting', { concurrency: 2 }, () => {
  const idle = pipeline('idle', {
    source: generator(1, undefined, 10),
    sinks: { lines: jsonl('out/lines.jsonl') },
  });

  test('a second process on the data directory is told who has it, and touches nothing', async (t) => {
    const folder = await Folder.make(t);
    await folder.write('p.yaml', idle);
    const first = folder.start('--apply', 'p.yaml');
    await first.server();
    const { code, err } = await folder.start('--apply', 'p.yaml').ended();
    assert.equal(code, 1);
    assert.match(
      err,
      new RegExp(`^error: data directory \\S+ is in use by process ${first.child.pid} `),
    );
    assert.equal(err.trim().split('\n').length, 1, err);
    assert.equal((await first.end('SIGTERM')).code, 0);
  });

  test('a taken port names its flag, for gRPC and for HTTP', async (t) => {
    const folder = await Folder.make(t);
    await folder.write('p.yaml', idle);
    const taken = createServer().listen(0, '127.0.0.1');
    t.after(() => taken.close());
    await once(taken, 'listening');
    const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
    for (const flag of ['--listen-addr', '--http-addr']) {
      const { code, err } = await folder.start('--apply', 'p.yaml', flag, address).ended();
      assert.deepEqual(
        [code, err],
        [1, `error: ${flag}: ${address} is in use; give another address\n`],
      );
    }
  });

  test('a flag, a file or a manifest that is wrong ends with 2 and is named', async (t) => {
    const folder = await Folder.make(t);
    await folder.write('bad.yaml', [manifest('EtlSource', 'numbers', { generator: { rat: 5 } })]);
    await folder.write('broken.yaml', 'kind: [');
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [['--aply', 'x.yaml'], /^error: .*'--aply'.*--help/],
      [['--apply', 'missing.yaml'], /^error: --apply missing\.yaml: .*ENOENT/],
      [['--apply', '.'], /^error: --apply \.: .*EISDIR/],
      [['--apply', 'bad.yaml'], /^error: bad\.yaml:[^]*rat/],
      [['--apply', 'broken.yaml'], /^error: broken\.yaml:/],
    ];
    const ends = await Promise.all(
      wrong.map(([args], at) => folder.start('--data-dir', `data-${at}`, ...args).ended()),
    );
    for (const [at, { code, err }] of ends.entries()) {
      assert.match(err, wrong[at]?.[1] as RegExp);
      assert.doesNotMatch(err, /^\s+at /m);
      assert.equal(code, 2, err);
    }
  });

  test('--version says version and commit', async (t) => {
    const folder = await Folder.make(t);
    const { code, out } = await folder.start('--version').ended();
    assert.equal(code, 0);
    assert.match(out, /^etl-router standalone \d+\.\d+\.\d+\S* \(([0-9a-f]{7,}|unknown)\)\n$/);
  });
});
