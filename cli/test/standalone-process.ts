// A real standalone in a process of its own, on free ports and in a folder of its own, for tests of the command line.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const repository = resolve(import.meta.dirname, '../..');

/** A running standalone. */
export interface StandaloneProcess {
  /** Value for ETLCTL_SERVER. */
  readonly server: string;
  /** Its working directory: relative paths in manifests start here. */
  readonly folder: string;
  /** Ends it and removes the folder. */
  close(): Promise<void>;
}

/** Starts standalone with nothing applied; resolves when it answers. */
export async function startStandalone(): Promise<StandaloneProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'etl-cli-'));
  const free = '127.0.0.1:0';
  const flags = ['--no-apply', '--data-dir', 'data', '--listen-addr', free, '--http-addr', free];
  const child = spawn(
    process.execPath,
    [
      '--conditions=etl-source',
      join(repository, 'standalone/src/main.ts'),
      ...[...flags, '--metrics-addr', 'off'],
    ],
    { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const server = await serverOf(child);
  return {
    server,
    folder,
    async close() {
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
      await rm(folder, { recursive: true });
    },
  };
}

/** Reads the address that standalone prints once it listens. */
function serverOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const read = (chunk: Buffer): void => {
      text += chunk.toString();
      const found = /GraphQL:\s+(http:\/\/\S+)\/graphql/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    };
    assert.ok(child.stdout !== null && child.stderr !== null);
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code) => reject(new Error(`standalone ended with ${code}:\n${text}`)));
  });
}

/** Asks again until `check` gives a value, and fails with what it waited for after two minutes: it comes sooner, or does not come. */
export async function until<T>(check: () => Promise<T | undefined>, what: string): Promise<T> {
  const signal = AbortSignal.timeout(120_000);
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    assert.ok(!signal.aborted, `waited two minutes for ${what}`);
  }
}

/** Two records that a cast to a number refuses, and three that it takes. */
export const ordersLines: string = [
  '{"id":1,"total":"10"}',
  '{"id":2,"total":"ten"}',
  '{"id":3,"total":"30"}',
  '{"id":4,"total":"a lot"}',
  '{"id":5,"total":"50"}',
  '',
].join('\n');
