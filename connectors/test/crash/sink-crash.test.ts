import { deepEqual, equal, ok } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { judge, type TestPayload } from '@etl-router/connectors/testing';
import { seededRandom } from '@etl-router/core';
import type { ConnectorSpec } from '@etl-router/pipeline';
import { readFiles, readTable } from '../read-output.ts';
import type { CrashRound } from './writer.ts';

const writer = fileURLToPath(new URL('writer.ts', import.meta.url));
const lanes = ['a', 'b', 'c'];
const count = 1500;
/** Each is a process; `npm run crash` has hundreds of them. */
const kills = 3;

const duckdb = (config: ConnectorSpec['config']): ConnectorSpec => ({
  type: 'duckdb',
  config: { path: 'x.duckdb', table: 't', ...config },
});
const file = (config: ConnectorSpec['config']): ConnectorSpec => ({ type: 'file', config });
const table = (directory: string): Promise<readonly TestPayload[]> =>
  readTable(join(directory, 'x.duckdb'), 't');

const sinks: readonly {
  readonly name: string;
  readonly spec: ConnectorSpec;
  readonly contents: (directory: string) => Promise<readonly TestPayload[]>;
}[] = [
  { name: 'duckdb append', spec: duckdb({}), contents: table },
  { name: 'duckdb replace', spec: duckdb({ mode: 'replace' }), contents: table },
  { name: 'duckdb upsert', spec: duckdb({ mode: 'upsert' }), contents: table },
  { name: 'lines', spec: file({ path: 'out.jsonl' }), contents: readFiles },
  {
    name: 'a series of CSV files',
    spec: file({ path: 'out-{sequence}.csv.gz', rotate: { maxRecords: 700 } }),
    contents: readFiles,
  },
  {
    name: 'a series of Parquet files',
    spec: file({ path: 'out-{sequence}.parquet', rotate: { maxRecords: 900 } }),
    contents: readFiles,
  },
];

interface Outcome {
  readonly code: number | null;
  /** Last record that was acknowledged, by lane. */
  readonly acknowledged: ReadonlyMap<string, number>;
  /** Last record that the sink said it held at the start, by lane. */
  readonly held: ReadonlyMap<string, number>;
}

/** Runs the writer; kills it when it has acknowledged `killAfter` writes. */
async function run(round: CrashRound, killAfter: number): Promise<Outcome> {
  const child = spawn(
    process.execPath,
    ['--conditions=etl-source', writer, JSON.stringify(round)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  const acknowledged = new Map<string, number>();
  const held = new Map<string, number>();
  let writes = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [lane = '', n, what] = line.split(' ');
    (what === 'held' ? held : acknowledged).set(lane, Number(n));
    if (what === 'stored' && ++writes === killAfter) child.kill('SIGKILL');
  }
  return { code: await exited, acknowledged, held };
}

describe('a sink whose process is killed', { concurrency: 2 }, () => {
  for (const { name, spec, contents } of sinks) {
    test(`${name}: nothing acknowledged is lost and nothing is stored twice`, async () => {
      const baseDirectory = await mkdtemp(join(tmpdir(), 'etl-crash-'));
      const random = seededRandom(name.length);
      const reached = new Map<string, number>();
      for (let epoch = 1; epoch <= kills + 1; epoch++) {
        const isLast = epoch === kills + 1;
        const batch = 10 + random.below(90);
        const round: CrashRound = { spec, baseDirectory, lanes, epoch, count, batch };
        const { code, acknowledged, held } = await run(
          round,
          isLast ? Infinity : 1 + random.below(14),
        );
        for (const [lane, n] of held) {
          ok(
            n >= (reached.get(lane) ?? 0),
            `lane ${lane}: ${reached.get(lane)} acknowledged, ${n} held`,
          );
        }
        for (const [lane, n] of acknowledged) reached.set(lane, n);
        if (isLast) equal(code, 0);
      }
      const counts = new Map(lanes.map((lane) => [lane, count]));
      const { reordered, ...verdict } = judge(await contents(baseDirectory), counts);
      deepEqual(verdict, { missing: 0, duplicates: 0, foreign: 0 });
      if (name !== 'duckdb upsert') equal(reordered, 0);
      await rm(baseDirectory, { recursive: true });
    });
  }
});
