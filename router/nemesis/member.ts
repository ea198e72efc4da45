// A member: one router process, its folder and its host. Whoever ends it says so; a process that ends by itself is a
// death that the run has to explain.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { RouterAdmin } from '@etl-router/proto/admin';
import { createClient, type GrpcClient } from '@etl-router/proto/grpc';
import { ChannelCredentials } from '@grpc/grpc-js';
import type { Hosts } from './hosts.ts';

const program = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const apiPort = 50051;
const raftPort = 50052;
/** Lines of a process's log that are kept at hand. */
const wordsKept = 20;

export type Admin = GrpcClient<typeof RouterAdmin>;

export interface MemberOptions {
  readonly hosts: Hosts;
  /** Its name too (`--node-id`), and its place on the network. */
  readonly number: number;
  /** Folder of its configuration and of what it logs. */
  readonly folder: string;
  /** Where its data is when it is started. */
  readonly dataDirectory: () => string;
  readonly flags: readonly string[];
  /** The members it is started with, itself among them or not. */
  readonly peers: readonly number[];
  readonly snapshotInterval: number;
}

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Member {
  readonly number: number;
  readonly admin: Admin;
  readonly #options: MemberOptions;
  #child: ChildProcess | undefined;
  #ending: Promise<Ending> = Promise.resolve({ code: null, signal: null });
  #ready: Promise<void> = Promise.resolve();
  #isEndWanted = false;
  #lastWords: readonly string[] = [];
  /** Ends that nobody asked for. */
  readonly deaths: string[] = [];

  constructor(options: MemberOptions) {
    this.#options = options;
    this.number = options.number;
    this.admin = connect(`${options.hosts.addressOf(this.number)}:${apiPort}`);
  }

  get name(): string {
    return String(this.number);
  }

  get raftAddress(): string {
    return `${this.#options.hosts.addressOf(this.number)}:${raftPort}`;
  }

  get dataDirectory(): string {
    return this.#options.dataDirectory();
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Starts the process; resolves when it runs, not when it is ready. */
  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`member ${this.name} runs already`);
    const { hosts, folder, number } = this.#options;
    await mkdir(folder, { recursive: true });
    const enter = await hosts.open(number);
    const [name = '', ...args] = [...enter, process.execPath, ...(await this.#arguments())];
    const child = spawn(name, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    this.#isEndWanted = false;
    this.#lastWords = [];
    this.#ready = this.#readLog(child);
    this.#ready.catch(() => undefined);
    this.#ending = this.#end(child);
    this.#ending.catch(() => undefined);
    await once(child, 'spawn');
  }

  /** Resolves when the process said that it is ready; rejects when it ended before. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  /** Resolves when the process has ended. */
  get ending(): Promise<Ending> {
    return this.#ending;
  }

  /** From now on the end of the process is no surprise. */
  expectEnd(): void {
    this.#isEndWanted = true;
  }

  /** From now on it is one again. */
  expectLife(): void {
    this.#isEndWanted = false;
  }

  /** The last lines that a process of this member wrote. */
  get lastWords(): string {
    return this.#lastWords.join('\n');
  }

  async kill(): Promise<void> {
    this.#isEndWanted = true;
    this.#child?.kill('SIGKILL');
    await this.#ending;
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Asks the process to end. */
  async stop(): Promise<Ending> {
    this.#isEndWanted = true;
    this.#child?.kill('SIGTERM');
    return await this.#ending;
  }

  async #arguments(): Promise<readonly string[]> {
    const { hosts, folder, number, peers, snapshotInterval, flags } = this.#options;
    const config = join(folder, 'router.yaml');
    await writeFile(config, `cluster: {snapshot_interval: ${snapshotInterval}}\n`);
    const address = hosts.addressOf(number);
    const others = peers.filter((peer) => peer !== number);
    return [
      ...['--conditions=etl-source', program, '--config', config, '--insecure'],
      ...['--node-id', this.name, '--data-dir', this.dataDirectory],
      ...['--listen-addr', `${address}:${apiPort}`, '--raft-addr', `${address}:${raftPort}`],
      ...['--http-addr', 'off', '--metrics-addr', 'off'],
      ...[
        '--peers',
        others.map((peer) => `${peer}@${hosts.addressOf(peer)}:${raftPort}`).join(','),
      ],
      ...flags,
    ];
  }

  async #readLog(child: ChildProcess): Promise<void> {
    const log = createWriteStream(join(this.#options.folder, 'router.log'), { flags: 'a' });
    const ready = Promise.withResolvers<void>();
    const lines = createInterface({ input: child.stderr as NodeJS.ReadableStream });
    lines.on('line', (line) => {
      log.write(`${line}\n`);
      this.#lastWords = [...this.#lastWords, line].slice(-wordsKept);
      if (line.includes('"the router is ready"')) ready.resolve();
    });
    lines.once('close', () => {
      log.end();
      ready.reject(
        new Error(
          `member ${this.name} ended before it was ready: ${this.#lastWords.at(-1) ?? 'without a word'}`,
        ),
      );
    });
    await ready.promise;
  }

  async #end(child: ChildProcess): Promise<Ending> {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    this.#child = undefined;
    if (!this.#isEndWanted) this.deaths.push(`member ${this.name} ended with ${code ?? signal}`);
    return { code, signal };
  }
}

function connect(address: string): Admin {
  return createClient(RouterAdmin, address, ChannelCredentials.createInsecure(), {
    channelOptions: {
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 200,
      'grpc.keepalive_time_ms': 1000,
      'grpc.keepalive_timeout_ms': 1000,
    },
  });
}
