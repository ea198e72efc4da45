import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { allIdentities, Folder, type Generated, identities, until } from './harness.ts';
import { generator, jsonl, manifest, pipeline } from './manifests.ts';

/** What `etlctl describe pipeline -o json` says that these tests look at. */
interface Described {
  readonly phase: string;
  readonly rates: { readonly recordsIn: string; readonly inFlightRecords: string } | null;
}

async function describe(folder: Folder, server: string, name: string): Promise<Described> {
  const text = await folder.etlctl(server, 'describe', 'pipeline', name, '-o', 'json');
  return (JSON.parse(text) as { readonly result: Described }).result;
}

suite('pipelines that are changed while they run', { concurrency: 2 }, () => {
  test('a paused pipeline finishes what it has read and reads no more, and resumed it goes on from there', async (t) => {
    const folder = await Folder.make(t);
    const sinks = { lines: jsonl('out/lines.jsonl') };
    await folder.write('p.yaml', pipeline('numbers', { source: generator(2, 2000, 800), sinks }));
    const running = folder.start('--apply', 'p.yaml', '--once');
    const server = await running.server();
    const length = (): number => folder.lines('out/lines.jsonl').length;
    await until('lines', () => length() > 200);
    assert.match(await folder.etlctl(server, 'pause', 'numbers'), /pipeline\/numbers paused/);
    let paused: Described | undefined;
    await until('a pause with nothing in flight', async () => {
      paused = await describe(folder, server, 'numbers');
      return paused.phase === 'paused' && paused.rates?.inFlightRecords === '0';
    });
    const kept = length();
    assert.equal(String(kept), paused?.rates?.recordsIn, 'all that was read is stored');
    assert.ok(kept < 4000, 'it was paused on the way');
    // At its rate it would have read hundreds of records while these ask.
    for (let asked = 0; asked < 2; asked++) {
      const { phase, rates } = await describe(folder, server, 'numbers');
      assert.deepEqual([phase, rates?.recordsIn, length()], ['paused', String(kept), kept]);
    }
    await folder.etlctl(server, 'resume', 'numbers');
    const { code, out, err } = await running.ended();
    assert.equal(code, 0, out + err);
    assert.deepEqual(
      identities(folder.lines<Generated>('out/lines.jsonl')),
      allIdentities(2, 2000),
    );
  });
});
