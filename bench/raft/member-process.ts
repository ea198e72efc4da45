// One process of a cluster under test: started, watched and ended by its own id. A member that dies fails whatever
// waits for it, with the last it said.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from '../lib/child.ts';

/** Clock ticks of /proc a second: fixed on Linux whatever the kernel's own rate. */
const ticksPerSecond = 100;
const maxOutput = 20_000;
const stopMs = 10_000;

/** A running member. */
export class MemberProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #said = '';

  constructor(name: string, command: Command) {
    this.name = name;
    const { file, args, cwd, env } = command;
    this.#child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#ended = once(this.#child, 'close').catch((error: unknown) => {
      this.#said += String(error);
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#said = (this.#said + chunk.toString()).slice(-maxOutput);
      });
    }
  }

  /** Throws when it is not running any more. */
  check(): void {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) return;
    throw new Error(`${this.name} ended with ${signalCode ?? exitCode}:\n${this.#said}`);
  }

  /** Processor seconds that all its threads used so far. */
  cpuS(): number {
    this.check();
    const stat = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8');
    // Fields after the name, which may hold spaces: utime and stime are the 14th and 15th of the line.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  }

  /** Memory that it holds now, in MiB. */
  rssMib(): number {
    this.check();
    const [pages = ''] = /(?<=^VmRSS:\s+)\d+/m.exec(
      readFileSync(`/proc/${this.#child.pid}/status`, 'utf8'),
    ) as RegExpExecArray;
    return Number(pages) / 1024;
  }

  /** Ends it, by force if it takes longer than 10 s. */
  async stop(): Promise<void> {
    if (this.#child.pid === undefined) return;
    this.#child.kill('SIGTERM');
    const late = new AbortController();
    const force = wait(stopMs, undefined, { signal: late.signal }).then(
      () => this.#child.kill('SIGKILL'),
      () => undefined,
    );
    await this.#ended;
    late.abort();
    await force;
  }
}

/**
 * Ports of the loopback interface that nobody listens on, all different. Below those that the system gives to outgoing
 * connections, one of which could take it before the member does.
 */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers: Server[] = [];
  try {
    let port = lowPort + Math.floor(Math.random() * (highPort - lowPort));
    for (let tries = 0; servers.length < count && tries < highPort - lowPort; tries++) {
      port = port + 1 < highPort ? port + 1 : lowPort;
      const server = createServer();
      if (await isFree(server, port)) servers.push(server);
    }
    return servers.map((server) => (server.address() as { readonly port: number }).port);
  } finally {
    for (const server of servers) server.close();
  }
}

const lowPort = 20_000;
const highPort = 32_000;

/** Whether `server` could take the port, which it then has. */
async function isFree(server: Server, port: number): Promise<boolean> {
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  }
}
