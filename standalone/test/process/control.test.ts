import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { suite, test } from 'node:test';
import {
  allIdentities,
  Folder,
  type Generated,
  identities,
  type PipelineState,
  pipelineState,
  until,
} from './harness.ts';
import { generator, jsonl, pipeline } from './manifests.ts';

const columns = { lane: 'VARCHAR', seq: 'BIGINT', sum: 'VARCHAR' };

const endlessSource = generator(1, undefined, 1000);
const endless = pipeline('numbers', {
  source: endlessSource,
  sinks: { lines: jsonl('out/lines.jsonl') },
});

suite('pipelines that are changed while they run', { concurrency: 2 }, () => {
  test('a paused pipeline finishes what it has read and reads no more, and resumed it goes on from there', async (t) => {
    const folder = await Folder.make(t);
    await folder.write('p.yaml', endless);
    const running = folder.start('--apply', 'p.yaml');
    const server = await running.server();
    const length = (): number => folder.lines('out/lines.jsonl').length;
    await until('lines', () => length() > 200);
    assert.match(await folder.etlctl(server, 'pause', 'numbers'), /pipeline\/numbers paused/);
    let paused: PipelineState | undefined;
    await until('a pause with nothing in flight', async () => {
      paused = await pipelineState(server, 'numbers');
      return paused.phase === 'paused' && paused.rates?.inFlightRecords === '0';
    });
    const kept = length();
    assert.equal(String(kept), paused?.rates?.recordsIn, 'all that was read is stored');
    // At its rate it would have read hundreds of records while etlctl starts and asks.
    const described = await folder.etlctl(server, 'describe', 'pipeline', 'numbers');
    assert.match(described, /^Phase:\s+paused$/m);
    const { rates } = await pipelineState(server, 'numbers');
    assert.deepEqual([rates?.recordsIn, length()], [String(kept), kept]);
    await folder.etlctl(server, 'resume', 'numbers');
    await until('more lines', () => length() > kept + 200);
    const { code, out, err } = await running.end('SIGTERM');
    assert.equal(code, 0, out + err);
    const lines = folder.lines<Generated>('out/lines.jsonl');
    assert.deepEqual(identities(lines), allIdentities(1, lines.length));
  });

  test('a change applied while it runs, and one at the next start, go on from where the former stopped', async (t) => {
    const folder = await Folder.make(t);
    for (const version of ['one', 'two', 'three']) {
      const objects = pipeline('numbers', {
        source: endlessSource,
        transforms: { mark: { map: { mappings: [{ target: 'version', literal: version }] } } },
        sinks: { lines: jsonl('out/lines.jsonl') },
      });
      await folder.write(`${version}.yaml`, objects);
    }
    const marked = (): (Generated & { readonly version: string })[] =>
      folder.lines('out/lines.jsonl');
    const count = (version: string): number =>
      marked().filter((line) => line.version === version).length;
    const running = folder.start('--apply', 'one.yaml');
    const server = await running.server();
    await until('lines of the first version', () => count('one') > 100);
    assert.match(await folder.etlctl(server, 'apply', '-f', 'two.yaml'), /numbers-mark configured/);
    await until('lines of the second version', () => count('two') > 100);
    assert.equal((await running.end('SIGTERM')).code, 0);
    const again = folder.start('--apply', 'three.yaml');
    await until('lines of the third version', () => count('three') > 100);
    assert.equal((await again.end('SIGTERM')).code, 0);
    assert.deepEqual(identities(marked()), allIdentities(1, marked().length));
    const changes = marked().filter(({ version }, at, all) => version !== all[at - 1]?.version);
    assert.deepEqual(
      changes.map(({ version }) => version),
      ['one', 'two', 'three'],
    );
  });

  test('deleted while it runs, a pipeline ends, the process says so and serves on', async (t) => {
    const folder = await Folder.make(t);
    await folder.write('p.yaml', endless);
    const running = folder.start('--apply', 'p.yaml');
    const server = await running.server();
    await until('lines', () => folder.lines('out/lines.jsonl').length > 0);
    await folder.etlctl(server, 'delete', 'pipeline', 'numbers');
    await until('the word of it', () => running.out.includes('default/numbers: deleted'));
    const lines = folder.lines<Generated>('out/lines.jsonl');
    assert.equal(await folder.etlctl(server, 'get', 'pipelines', '-o', 'name'), '');
    assert.deepEqual(folder.lines('out/lines.jsonl'), lines, 'the run has ended');
    assert.deepEqual(identities(lines), allIdentities(1, lines.length));
    const { code, err } = await running.end('SIGTERM');
    assert.deepEqual([code, err], [0, '']);
  });

  test('--once ends with 1 when a pipeline it waits for is deleted', async (t) => {
    const folder = await Folder.make(t);
    await folder.write('p.yaml', endless);
    const running = folder.start('--apply', 'p.yaml', '--once');
    const server = await running.server();
    await until('lines', () => folder.lines('out/lines.jsonl').length > 0);
    await folder.etlctl(server, 'delete', 'pipeline', 'numbers');
    const { code, out, err } = await running.ended();
    assert.equal(code, 1, out + err);
    assert.match(out, /^default\/numbers: deleted/m);
    const lines = folder.lines<Generated>('out/lines.jsonl');
    assert.deepEqual(identities(lines), allIdentities(1, lines.length));
  });

  test('a database file opens from another process while nothing is written, and writing goes on after', async (t) => {
    const folder = await Folder.make(t);
    const sinks = {
      table: { duckdb: { path: 'out/out.duckdb', table: 'numbers', columns } },
      lines: jsonl('out/lines.jsonl'),
    };
    await folder.write('p.yaml', pipeline('numbers', { source: endlessSource, sinks }));
    const running = folder.start('--apply', 'p.yaml');
    const server = await running.server();
    const length = (): number => folder.lines('out/lines.jsonl').length;
    await until(
      'lines and a database',
      () => length() > 0 && existsSync(folder.at('out/out.duckdb')),
    );
    await folder.etlctl(server, 'pause', 'numbers');
    const stored = async (): Promise<Generated[]> => {
      const rows = await folder.query('out/out.duckdb', 'select lane, seq from numbers');
      return rows.map(([lane, seq]) => ({ lane: String(lane), seq: Number(seq) }));
    };
    let idle: Generated[] = [];
    let refused: unknown;
    await until(
      'the file to open',
      async () => {
        idle = await stored().catch((error: unknown) => {
          refused = error;
          return [];
        });
        return idle.length > 0;
      },
      () => String(refused),
    );
    assert.equal(running.hasEnded, false, 'it opened beside the process');
    assert.deepEqual(identities(idle), allIdentities(1, idle.length));
    await folder.etlctl(server, 'resume', 'numbers');
    await until('more lines', () => length() > idle.length + 200);
    const { code, out, err } = await running.end('SIGTERM');
    assert.equal(code, 0, out + err);
    const all = await stored();
    assert.ok(all.length > idle.length, 'it went on writing');
    assert.deepEqual(identities(all), allIdentities(1, length()));
  });
});
