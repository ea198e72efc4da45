// Runs a program as a benchmark sees it: how long it took, and how much of the processors it used, all its threads
// and its start and end included. One program at a time, or the numbers mix.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

/** What a program used. */
export interface Usage {
  readonly wallS: number;
  readonly cpuS: number;
  /** The most memory that was seen at once, by polling. */
  readonly peakMib: number;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Clock ticks of /proc a second: fixed on Linux whatever the kernel's own rate. */
const ticksPerSecond = 100;
const pollMs = 20;
const maxOutput = 20_000;

/**
 * Runs a program to its end, or where `output` is given until that file has its size, and ends it then. Throws with
 * what the program said when it fails or is not done within `timeoutMs`.
 */
export async function runChild(
  command: Command,
  timeoutMs: number,
  output?: { readonly path: string; readonly bytes: number },
): Promise<Usage> {
  const cpuBefore = childrenCpuS();
  const start = performance.now();
  const child = spawn(command.file, command.args, {
    cwd: command.cwd,
    env: command.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-maxOutput);
    });
  }
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  let peakKib = 0;
  let doneAt: number | undefined;
  while (child.exitCode === null && child.signalCode === null) {
    peakKib = Math.max(peakKib, residentKib(child));
    if (doneAt === undefined && output !== undefined && sizeOf(output.path) >= output.bytes) {
      doneAt = performance.now();
      child.kill('SIGTERM');
    }
    if (performance.now() - start > timeoutMs) {
      child.kill('SIGKILL');
      await ended;
      throw new Error(`${command.file} was not done after ${timeoutMs} ms:\n${said}`);
    }
    await Promise.race([ended, wait(pollMs)]);
  }
  const [code, signal] = await ended;
  doneAt ??= output === undefined && code === 0 ? performance.now() : undefined;
  if (doneAt === undefined) {
    throw new Error(`${command.file} ended with ${signal ?? code} before it was done:\n${said}`);
  }
  return {
    wallS: (doneAt - start) / 1000,
    cpuS: childrenCpuS() - cpuBefore,
    peakMib: Math.round(peakKib / 1024),
  };
}

/** User and system seconds of all children that have ended, their threads and children included. */
function childrenCpuS(): number {
  let stat: string;
  try {
    stat = readFileSync('/proc/self/stat', 'utf8');
  } catch (cause) {
    throw new Error('this benchmark reads processor time from /proc, which only Linux has', {
      cause,
    });
  }
  // Fields after the name, which may hold spaces: cutime and cstime are the 16th and 17th of the line.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / ticksPerSecond;
}

function residentKib(child: ChildProcess): number {
  try {
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  } catch {
    return 0; // It ended between two looks.
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
