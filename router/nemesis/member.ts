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
import { BackupService } from '@etl-router/proto/backup';
import { CheckpointService } from '@etl-router/proto/checkpoint';
import { createClient, type GrpcClient } from '@etl-router/proto/grpc';
import { SidecarCoordinator } from '@etl-router/proto/sidecar';
import { ChannelCredentials } from '@grpc/grpc-js';
import type { Hosts } from './hosts.ts';

const program = fileURLToPath(new URL('../src/main.ts', import.meta.url));
/** Compiled code that an orderly stop leaves for the next start: half the time to load a process. */
const compileCache = fileURLToPath(new URL('../../.cache/compile', import.meta.url));
const apiPort = 50051;
const httpPort = 8080;
const raftPort = 50052;
/** The members compare what they hold, all the time. */
export const stateCheckIntervalMs = 1000;
/** Lines of a process's log that are kept at hand. */
const wordsKept = 20;

const channelOptions = {
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 200,
  'grpc.keepalive_time_ms': 1000,
  'grpc.keepalive_timeout_ms': 1000,
};

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
  readonly backups: GrpcClient<typeof BackupService>;
  readonly checkpoints: GrpcClient<typeof CheckpointService>;
  readonly sidecars: GrpcClient<typeof SidecarCoordinator>;
  readonly #options: MemberOptions;
  #spawnedMs = 0;
  #loadedMs = 0;
  #child: ChildProcess | undefined;
  #ending: Promise<Ending> = Promise.resolve({ code: null, signal: null });
  #ready: Promise<void> = Promise.resolve();
  #isEndWanted = false;
  #lastWords: readonly string[] = [];
  /** Ends that nobody asked for. */
  readonly deaths: string[] = [];
  /** What its processes wrote about members that do not hold the same. */
  readonly alarms: string[] = [];

  constructor(options: MemberOptions) {
    this.#options = options;
    this.number = options.number;
    const address = `${options.hosts.addressOf(this.number)}:${apiPort}`;
    const credentials = ChannelCredentials.createInsecure();
    this.admin = createClient(RouterAdmin, address, credentials, { channelOptions });
    this.backups = createClient(BackupService, address, credentials, { channelOptions });
    this.checkpoints = createClient(CheckpointService, address, credentials, { channelOptions });
    this.sidecars = createClient(SidecarCoordinator, address, credentials, { channelOptions });
  }

  get name(): string {
    return String(this.number);
  }

  get httpAddress(): string {
    return `${this.#options.hosts.addressOf(this.number)}:${httpPort}`;
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
    const env = { ...process.env, NODE_COMPILE_CACHE: compileCache };
    this.#spawnedMs = performance.now();
    this.#loadedMs = this.#spawnedMs;
    const child = spawn(name, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
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

  /**
   * When the last process was started, and when both its threads were loaded and its data was read. In between it does
   * nothing with the others: it works as fast as the machine lets it.
   */
  get loading(): { readonly fromMs: number; readonly toMs: number } {
    return { fromMs: this.#spawnedMs, toMs: this.#loadedMs };
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

  /** Closes the clients of a member that nobody asks any more. */
  close(): void {
    const clients = [this.admin, this.backups, this.checkpoints, this.sidecars];
    for (const client of clients) client.close();
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
    const settings = {
      snapshot_interval: snapshotInterval,
      state_check_interval_ms: stateCheckIntervalMs,
    };
    await writeFile(config, `${JSON.stringify({ cluster: settings })}\n`);
    const address = hosts.addressOf(number);
    const others = peers.filter((peer) => peer !== number);
    return [
      ...['--conditions=etl-source', program, '--config', config, '--insecure'],
      ...['--node-id', this.name, '--data-dir', this.dataDirectory],
      ...['--listen-addr', `${address}:${apiPort}`, '--raft-addr', `${address}:${raftPort}`],
      ...['--http-addr', this.httpAddress, '--metrics-addr', 'off'],
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
      if (line.includes('"the state is read"')) this.#loadedMs = performance.now();
      if (line.includes('"the router is ready"')) ready.resolve();
      if (/another state than a majority|hold different states/.test(line)) this.alarms.push(line);
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
