// kubectl, as people use it: the tests change and read a cluster with nothing else, so whatever KUBECONFIG names will do.

import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@etl-router/core';

/** The clone. */
export const root: string = fileURLToPath(new URL('../../', import.meta.url));

const cache = process.env['CLUSTER_CACHE'] ?? join(homedir(), '.cache', 'local-cluster');
const stateDir = process.env['CLUSTER_DIR'] ?? '/tmp/local-cluster';

/** What the local cluster writes. */
export const localKubeconfig: string = join(stateDir, 'admin.conf');

/** Whether the tests run on the local cluster, whose nodes can be cut off and lost. */
export const isLocal: boolean =
  process.env['KUBECONFIG'] === undefined || process.env['KUBECONFIG'] === localKubeconfig;

/** The environment of every command: the kubeconfig, and the tools that the local cluster built. */
export function environment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    KUBECONFIG: process.env['KUBECONFIG'] ?? localKubeconfig,
    PATH: [process.env['PATH'] ?? '', join(cache, 'bin')].join(delimiter),
  };
}

export interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  /** Write what it says to this process's own output too. */
  readonly isLoud?: boolean;
}

/** A command that failed, with what it said. */
export class CommandError extends Error {
  readonly output: string;

  constructor(command: string, how: string, output: string) {
    super(`${command}: ${how}: ${output.trim()}`);
    this.output = output;
  }
}

/** Leaders of the process groups that run now: what a command started ends with it, and all of it with this process. */
const groups = new Set<number>();
process.on('exit', () => {
  for (const pid of groups) signal(pid, 'SIGTERM');
});
for (const [name, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(name, () => process.exit(code));

function signal(group: number, name: NodeJS.Signals): void {
  try {
    process.kill(-group, name);
  } catch {
    // All of it has ended.
  }
}

/** From the request to end until the end without one. */
const graceMs = 2000;

/** Runs a command and answers its standard output; throws {@link CommandError} for any exit but 0. */
export function run(
  command: string,
  args: readonly string[],
  { input = '', timeoutMs = 60_000, isLoud = false }: RunOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, env: environment(), detached: true });
    const { pid } = child;
    let isLate = false;
    const timers = [timeoutMs, timeoutMs + graceMs].map((delayMs, at) =>
      systemClock.after(delayMs, () => {
        isLate = true;
        if (pid !== undefined) signal(pid, at === 0 ? 'SIGTERM' : 'SIGKILL');
      }),
    );
    const ended = (): void => {
      for (const cancel of timers) cancel();
      if (pid !== undefined) groups.delete(pid);
    };
    if (pid !== undefined) groups.add(pid);
    const parts: { out: Buffer[]; all: Buffer[] } = { out: [], all: [] };
    child.stdout.on('data', (chunk: Buffer) => {
      parts.out.push(chunk);
      parts.all.push(chunk);
      if (isLoud) process.stdout.write(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      parts.all.push(chunk);
      if (isLoud) process.stderr.write(chunk);
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', (error) => {
      ended();
      reject(error);
    });
    child.on('close', (code, killedBy) => {
      ended();
      if (code === 0) return resolve(Buffer.concat(parts.out).toString());
      const said = `${command} ${args.slice(0, 4).join(' ')}`;
      const end = killedBy === null ? `exit ${code}` : `ended by ${killedBy}`;
      const how = isLate ? `not within ${timeoutMs / 1000} s, ${end}` : end;
      return reject(new CommandError(said, how, Buffer.concat(parts.all).toString()));
    });
  });
}

export function kubectl(args: readonly string[], options?: RunOptions): Promise<string> {
  return run('kubectl', args, options);
}

/** An object as Kubernetes gives it. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly generation?: number;
    readonly labels?: { readonly [name: string]: string };
    readonly annotations?: { readonly [name: string]: string };
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
    readonly creationTimestamp?: string;
  };
}

/** Applies objects, server side as their user. */
export async function apply(...objects: readonly object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  const args = ['apply', '--server-side', '--field-manager=e2e', '-f', '-'];
  await kubectl(args, { input: JSON.stringify(list) });
}

export async function get<T extends KubeObject>(
  kind: string,
  name: string,
  namespace?: string,
): Promise<T> {
  const where = namespace === undefined ? [] : ['-n', namespace];
  return JSON.parse(await kubectl(['get', kind, name, ...where, '-o', 'json'])) as T;
}

/** The object, or undefined where there is none. */
export async function find<T extends KubeObject>(
  kind: string,
  name: string,
  namespace?: string,
): Promise<T | undefined> {
  const where = namespace === undefined ? [] : ['-n', namespace];
  const text = await kubectl(['get', kind, name, ...where, '-o', 'json', '--ignore-not-found']);
  return text.trim() === '' ? undefined : (JSON.parse(text) as T);
}

export async function list<T extends KubeObject>(
  kind: string,
  namespace?: string,
  selector?: string,
): Promise<readonly T[]> {
  const where = namespace === undefined ? ['-A'] : ['-n', namespace];
  const which = selector === undefined ? [] : ['-l', selector];
  const text = await kubectl(['get', kind, ...where, ...which, '-o', 'json']);
  return (JSON.parse(text) as { items: readonly T[] }).items;
}
