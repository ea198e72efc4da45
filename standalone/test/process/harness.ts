// Runs the real process on a folder of its own, and waits for what can be seen from outside: files, output, etlctl. It
// never reaches into the process.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { sleep, systemClock } from '@etl-router/core';

const repository = resolve(import.meta.dirname, '../../..');
const flags = ['--conditions=etl-source'];
const never = new AbortController().signal;
/** Whatever is waited for comes sooner, on a slow machine too, or does not come. */
const patienceMs = 120_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** A process and what it said so far. */
export class Running {
  readonly child: ChildProcess;
  readonly #ended: Promise<Ended>;
  out = '';
  err = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on('data', (chunk: Buffer) => {
      this.out += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.err += chunk.toString();
    });
    this.#ended = new Promise((done) => {
      child.once('close', (code, signal) => done({ code, signal, out: this.out, err: this.err }));
    });
  }

  /** `http://127.0.0.1:PORT` of its GraphQL, once it is printed. */
  async server(): Promise<string> {
    await until('the address of GraphQL', () => this.out.includes('/graphql') || this.hasEnded);
    const found = /GraphQL:\s+(\S+)\/graphql/.exec(this.out)?.[1];
    assert.ok(found !== undefined, `${this.out}${this.err}`);
    return found;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** Resolves when the process has ended by itself, and fails when it does not. */
  async ended(): Promise<Ended> {
    await until(
      'the end of the process',
      () => this.hasEnded,
      () => this.out.slice(-1000) + this.err,
    );
    return this.#ended;
  }

  /** Sends a signal and resolves when the process has ended. */
  end(signal: NodeJS.Signals): Promise<Ended> {
    this.child.kill(signal);
    return this.ended();
  }
}

/** A folder for one test, removed with every process that still runs in it. */
export class Folder {
  readonly path: string;
  readonly #running: Running[] = [];

  private constructor(path: string) {
    this.path = path;
  }

  static async make(t: TestContext): Promise<Folder> {
    const folder = new Folder(await mkdtemp(join(tmpdir(), 'etl-process-')));
    t.after(async () => {
      await Promise.all(folder.#running.map((running) => running.end('SIGKILL')));
      await rm(folder.path, { recursive: true, force: true });
    });
    return folder;
  }

  at(name: string): string {
    return join(this.path, name);
  }

  async write(name: string, objects: readonly object[] | string): Promise<void> {
    const text =
      typeof objects === 'string'
        ? objects
        : objects.map((each) => JSON.stringify(each)).join('\n---\n');
    await writeFile(this.at(name), text);
  }

  /** Starts standalone here, on free ports unless `args` say otherwise. */
  start(...args: string[]): Running {
    const addresses = ['--listen-addr', '127.0.0.1:0', '--metrics-addr', 'off'];
    const http = args.includes('--http-addr') ? [] : ['--http-addr', '127.0.0.1:0'];
    const given = args.includes('--listen-addr') ? addresses.slice(2) : addresses;
    const data = args.includes('--data-dir') ? [] : ['--data-dir', 'data'];
    return this.run(process.execPath, [
      ...flags,
      join(repository, 'standalone/src/main.ts'),
      ...data,
      ...given,
      ...http,
      ...args,
    ]);
  }

  run(program: string, args: readonly string[]): Running {
    const child = spawn(program, args, {
      cwd: this.path,
      env: { ...process.env, MALLOC_ARENA_MAX: '2', NODE_OPTIONS: '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const running = new Running(child);
    this.#running.push(running);
    return running;
  }

  /** Runs etlctl to its end; its exit code must be 0. */
  async etlctl(server: string, ...args: string[]): Promise<string> {
    const main = join(repository, 'cli/src/main.ts');
    const { code, out, err } = await this.run(process.execPath, [
      ...flags,
      main,
      ...args,
      '--server',
      server,
    ]).ended();
    assert.equal(code, 0, `etlctl ${args.join(' ')}: ${out}${err}`);
    return out;
  }

  /** The whole lines of a file of JSON lines; none while there is no file. */
  lines<Line>(name: string): Line[] {
    if (!existsSync(this.at(name))) return [];
    return readFileSync(this.at(name), 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  }

  /** Rows of a query on a database file, as another process than standalone sees it. */
  async query(name: string, sql: string): Promise<unknown[][]> {
    const instance = await DuckDBInstance.create(this.at(name), { access_mode: 'READ_ONLY' });
    const connection = await instance.connect();
    try {
      return (await connection.runAndReadAll(sql)).getRows();
    } finally {
      connection.closeSync();
      instance.closeSync();
    }
  }
}

/** What the router tells of a pipeline, as far as tests wait for it. */
export interface PipelineState {
  readonly phase: string;
  readonly rates: { readonly recordsIn: string; readonly inFlightRecords: string } | null;
  readonly offsets: readonly { readonly epoch: string }[];
  readonly deadLetters: number;
}

const pipelineDocument = `query ($id: ID!) { pipeline(pipelineId: $id) {
  phase rates { recordsIn inFlightRecords } offsets { epoch } deadLetters
} }`;

/** Asks over GraphQL, which takes a part of the time that etlctl takes to start: for what is asked again and again. */
export async function pipelineState(server: string, name: string): Promise<PipelineState> {
  const response = await fetch(`${server}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: pipelineDocument, variables: { id: `default/${name}` } }),
  });
  const text = await response.text();
  const { data } = JSON.parse(text) as { readonly data?: { readonly pipeline?: PipelineState } };
  assert.ok(data?.pipeline, text);
  return data.pipeline;
}

/** Asks until it holds. Fails when it does not hold in time; `tell` then says what there is instead. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  tell: () => string = () => '',
): Promise<void> {
  const endMs = systemClock.monotonicMs() + patienceMs;
  while (!(await holds())) {
    if (systemClock.monotonicMs() > endMs) assert.fail(`${what}: not in time; ${tell()}`);
    await sleep(systemClock, 20, never);
  }
}

/** What the generator makes, as the sinks hold it. */
export interface Generated {
  readonly lane: string;
  readonly seq: number;
}

/** `LANE/SEQ` of all, sorted; every record that was generated must be there once. */
export function identities(records: readonly Generated[]): string[] {
  return records.map(({ lane, seq }) => `${lane}/${String(seq).padStart(6, '0')}`).sort();
}

/** The identities of `lanes` times `count` records. */
export function allIdentities(lanes: number, count: number): string[] {
  return identities(
    Array.from({ length: lanes * count }, (_, at) => ({
      lane: String(at % lanes),
      seq: Math.floor(at / lanes),
    })),
  );
}
