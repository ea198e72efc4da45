// One process, file to file: read JSON lines, keep those with an amount above 10, write them. Ours is standalone as
// `npm start` runs it: router and log on disk, lanes, acknowledgements, positions and exactly-once delivery to the
// file. Theirs is the OpenTelemetry Collector, which keeps no position here. Both get the same file; every output is
// compared by hash.
//
// The measure is records a second of processor time, start and end of the process included, since a process that
// uses two cores is not faster for it.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import { type Input, makeInput } from './engine/input.ts';
import { type Bench, type BenchOptions, type BenchResult, takeTurns } from './lib/bench.ts';
import { type Command, runChild, type Usage } from './lib/child.ts';
import { formatTable } from './lib/report.ts';
import { median, ratioOfRounds, rounded, summarize } from './lib/statistics.ts';
import { buildCollector } from './peers/otel-collector/build.ts';

const root = resolve(import.meta.dirname, '..');
const cache = join(root, '.cache/bench/engine');
const timeoutMs = 300_000;

/** One way to do the job. */
interface Contender {
  /** Runs it once over `input` in the empty directory `directory`, into `output`. */
  run(input: Input, directory: string, output: string): Promise<Usage>;
}

/** Finds the field with a scanner that checks the JSON to its end. */
const scanned = { name: 'ours, field scanned', condition: 'record.data.amount > 10' };
/** Can only be answered from the whole payload as a value. */
const parsed = {
  name: 'ours, payload made a value',
  condition: 'record.data.amount > 10 && size(record.data) > 1',
};

function ours(condition: string): Contender {
  return {
    run: (input, directory, output) =>
      runChild(standalone(input, directory, output, condition), timeoutMs),
  };
}

function standalone(input: Input, directory: string, output: string, condition: string): Command {
  const manifest = join(directory, 'pipeline.yaml');
  const text = readFileSync(join(root, 'bench/engine/pipeline.yaml'), 'utf8')
    .replace('condition: CONDITION', () => `condition: ${JSON.stringify(condition)}`)
    .replace('path: INPUT', () => `path: ${JSON.stringify(input.path)}`)
    .replace('path: OUTPUT', () => `path: ${JSON.stringify(output)}`);
  writeFileSync(manifest, text);
  const flags = ['--once', '--apply', manifest, '--data-dir', join(directory, 'data')];
  const closed = ['--listen-addr', '127.0.0.1:0', '--http-addr', 'off', '--metrics-addr', 'off'];
  const { env, args } = startCommand();
  return {
    file: process.execPath,
    args: [...args, ...flags, ...closed],
    cwd: directory,
    env: { PATH: process.env['PATH'], ...env },
  };
}

/** The command of `npm start`. */
function startLine(): string {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly scripts: { readonly start: string };
  };
  return scripts.start;
}

/** Its variables, and what follows `node`, with paths made absolute. */
function startCommand(): { readonly env: NodeJS.ProcessEnv; readonly args: readonly string[] } {
  const words = startLine().split(' ');
  const node = words.indexOf('node');
  const variables = words.slice(0, node).map((word): [string, string] => {
    const [name = '', value = ''] = word.split('=');
    return [name, value.includes('/') ? join(root, value) : value];
  });
  const args = words
    .slice(node + 1)
    .map((word) => (word.endsWith('.ts') ? join(root, word) : word));
  return { env: Object.fromEntries(variables), args };
}

function collector(binary: string, config: string, env: NodeJS.ProcessEnv = {}): Contender {
  return {
    run: (input, directory, output) =>
      runChild(
        {
          file: binary,
          args: ['--config', join(root, 'bench/peers/otel-collector/config', config)],
          cwd: directory,
          env: {
            PATH: process.env['PATH'],
            BENCH_INPUT: input.path,
            BENCH_OUTPUT: output,
            ...env,
          },
        },
        timeoutMs,
        { path: output, bytes: input.expected.bytes },
      ),
  };
}

/** Runs a contender in a directory of its own and checks what it wrote. */
async function runChecked(contender: Contender, name: string, input: Input): Promise<Usage> {
  const directory = join(cache, 'run');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const output = join(directory, 'kept.jsonl');
  const usage = await contender.run(input, directory, output);
  checkOutput(name, output, input);
  return usage;
}

function checkOutput(name: string, output: string, input: Input): void {
  const bytes = existsSync(output) ? readFileSync(output) : Buffer.alloc(0);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== input.expected.sha256) {
    throw new Error(
      `${name} wrote ${bytes.length} bytes of hash ${sha256}, expected ${input.expected.bytes} of ${input.expected.sha256}`,
    );
  }
}

/** Standalone again, over what a run left: with positions in force nothing is read or written twice. */
async function checkPositions(input: Input): Promise<void> {
  const { name, condition } = scanned;
  const directory = join(cache, 'run');
  const output = join(directory, 'kept.jsonl');
  await runChecked(ours(condition), name, input);
  await runChild(standalone(input, directory, output, condition), timeoutMs);
  checkOutput('a second run over the same data directory', output, input);
}

async function run({ rounds, quick }: BenchOptions): Promise<BenchResult> {
  const input = makeInput(cache, quick ? 50_000 : 1_000_000);
  const peer = buildCollector();
  const mine = [scanned, parsed].map(({ name, condition }) => [name, ours(condition)] as const);
  const theirs = [
    ['collector, json_parser and batch', collector(peer.binary, 'default.yaml')],
    ['collector, tuned', collector(peer.binary, 'tuned.yaml')],
    ['collector, tuned, one thread', collector(peer.binary, 'tuned.yaml', { GOMAXPROCS: '1' })],
  ] as const;
  await checkPositions(input);
  const turns = [...mine, ...theirs].map(
    ([name, contender]) => [name, () => runChecked(contender, name, input)] as const,
  );
  const usages = await takeTurns(new Map(turns), rounds);
  const perCore = (name: string): number[] =>
    (usages.get(name) as Usage[]).map(({ cpuS }) => input.lines / cpuS / 1000);
  const best = theirs
    .map(([name]) => name)
    .reduce((a, b) => (median(perCore(b)) > median(perCore(a)) ? b : a));
  const ratio = ({ name }: { readonly name: string }): number =>
    ratioOfRounds(perCore(name), perCore(best));
  return {
    text: [
      tableOf(usages, input),
      '',
      `${input.lines} lines of 201 bytes, ${input.expected.lines} kept; every output had the same SHA-256.`,
      'ours: npm start, exactly once into the file, positions in the log on disk; run again, it wrote nothing more.',
      `theirs: OpenTelemetry Collector ${peer.version}, ${peer.go}; no positions, no sync to disk. Best: ${best}.`,
      'wall: ours to the end of the process, theirs to the last byte written.',
    ].join('\n'),
    ratios: [
      { name: 'per_core', value: ratio(scanned), required: 2 },
      { name: 'per_core_value', value: ratio(parsed) },
    ],
    raw: Object.fromEntries(
      Array.from(usages).flatMap(([name, of]) => [
        [`${name} cpu s`, of.map(({ cpuS }) => rounded(cpuS, 4))],
        [`${name} wall s`, of.map(({ wallS }) => rounded(wallS, 4))],
      ]),
    ),
    settings: {
      ...{ lines: input.lines, lineBytes: 201, collector: peer.version, go: peer.go, best },
      start: startLine(),
    },
  };
}

function tableOf(usages: ReadonlyMap<string, readonly Usage[]>, { lines }: Input): string {
  const rows = Array.from(usages, ([name, of]) => {
    const perCore = summarize(of.map(({ cpuS }) => lines / cpuS / 1000));
    return [
      name,
      perCore.median.toFixed(0),
      `${perCore.min.toFixed(0)} - ${perCore.max.toFixed(0)}`,
      median(of.map(({ wallS }) => lines / wallS / 1000)).toFixed(0),
      median(of.map(({ cpuS }) => cpuS)).toFixed(2),
      String(Math.max(...of.map(({ peakMib }) => peakMib))),
    ];
  });
  const head = ['', 'krec/s per core', 'min - max', 'krec/s wall', 'CPU s', 'peak MiB'];
  return formatTable([head, ...rows]);
}

export const bench: Bench = {
  about: 'file to file through standalone, against the OpenTelemetry Collector',
  rounds: 5,
  run,
};
