// The directory that makes a process a member: who it is, that nobody else uses it, and where everything lies. An
// identity is minted once and never changes; a directory of another cluster or name is refused, never adapted.

import { hostname } from 'node:os';
import process from 'node:process';
import { crc32 } from 'node:zlib';
import { assert, EtlError, type Random } from '@etl-router/core';
import {
  type Disk,
  type DiskLock,
  onDisk,
  readWhole,
  replaceFile,
  storageCorrupt,
} from './disk.ts';

/** Who a data directory belongs to. */
export interface Identity {
  /** Empty while the member belongs to no cluster yet. */
  readonly clusterId: string;
  /** The member's Raft id: minted with the directory, never used again. */
  readonly nodeId: number;
  /** Name of the member (`--node-id`). */
  readonly name: string;
  readonly logId: number;
}

/** A member as it took part in founding its cluster. */
export interface FoundingMember {
  readonly id: number;
  readonly name: string;
  /** Where its Raft port is reached; empty: it had none. */
  readonly address: string;
}

export interface DataDirectoryOptions {
  readonly disk: Disk;
  readonly path: string;
  readonly random: Random;
  /** Must be that of an existing directory. */
  readonly name: string;
  /** The cluster to found or to be of; without it a new directory mints one and an existing one keeps its own. */
  readonly clusterId?: string | undefined;
  /** A new directory belongs to no cluster, until {@link DataDirectory.adopt}; else it founds one by itself. */
  readonly waits?: boolean;
}

const formatVersion = 2;
const identityFile = 'identity.json';

/** An open, locked data directory. */
export class DataDirectory {
  readonly path: string;
  readonly #disk: Disk;
  readonly #lock: DiskLock;
  #stored: StoredIdentity;

  private constructor(options: DataDirectoryOptions, lock: DiskLock, stored: StoredIdentity) {
    this.path = options.path;
    this.#disk = options.disk;
    this.#lock = lock;
    this.#stored = stored;
  }

  get identity(): Identity {
    return this.#stored.identity;
  }

  /** Who founded the cluster, if this member proposed them; empty: it was added to one. */
  get founding(): readonly FoundingMember[] {
    return this.#stored.founding;
  }

  /** Locks the directory and reads its identity, or founds it. */
  static async open(options: DataDirectoryOptions): Promise<DataDirectory> {
    const { disk, path } = options;
    await onDisk('create', path, () => disk.makeDirectory(path));
    const lock = await takeLock(disk, path);
    try {
      const stored = await readIdentity(disk, path);
      if (stored !== undefined) {
        checkIdentity(options, stored.identity);
        // A process that was killed may have left what is read here, or a folder beside it, in the machine's memory only.
        await onDisk('sync', path, () => disk.syncDirectory(path));
        return new DataDirectory(options, lock, stored);
      }
      const minted = mintIdentity(options);
      await writeIdentity(disk, path, minted);
      return new DataDirectory(options, lock, minted);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  get logDirectory(): string {
    return `${this.path}/log`;
  }

  get snapshotDirectory(): string {
    return `${this.path}/snapshots`;
  }

  get appliedDirectory(): string {
    return `${this.path}/applied`;
  }

  /** Whether the log was made; from then on it must be there. */
  get logCreated(): boolean {
    return this.#stored.logCreated;
  }

  /** Belongs to a cluster from now on. With founders this member is one of them and proposes them. */
  async adopt(clusterId: string, founding: readonly FoundingMember[]): Promise<void> {
    assert(this.identity.clusterId === '', 'a member never moves to another cluster');
    await this.#store({ ...this.#stored, identity: { ...this.identity, clusterId }, founding });
  }

  /** To be called once the log's first segment is durable, before anything is promised. */
  async markLogCreated(): Promise<void> {
    await this.#store({ ...this.#stored, logCreated: true });
  }

  /** Gives the directory to others. */
  async close(): Promise<void> {
    await this.#lock.release();
  }

  async #store(stored: StoredIdentity): Promise<void> {
    await writeIdentity(this.#disk, this.path, stored);
    this.#stored = stored;
  }
}

async function takeLock(disk: Disk, path: string): Promise<DiskLock> {
  const directory = `${path}/lock`;
  const holderFile = `${path}/holder`;
  await onDisk('create', directory, () => disk.makeDirectory(directory));
  const lock = await onDisk('lock', directory, () => disk.lock(directory));
  if (lock === undefined) {
    const holder = await readWhole(disk, holderFile);
    const who =
      holder === undefined ? 'another process' : Buffer.from(holder).toString('utf8').trim();
    throw new EtlError(
      'ETL_CONFLICT',
      `data directory ${path} is in use by ${who}; stop it or give this process another --data-dir`,
      { details: { directory: path, holder: who } },
    );
  }
  try {
    await onDisk('write', holderFile, () => writeHolder(disk, holderFile));
  } catch (error) {
    await lock.release();
    throw error;
  }
  return lock;
}

async function writeHolder(disk: Disk, path: string): Promise<void> {
  const holder = Buffer.from(`process ${process.pid} on ${hostname()}\n`, 'utf8');
  const file = await disk.open(path, 'create');
  try {
    await file.write(0, [holder]);
  } finally {
    await file.close();
  }
}

function mintIdentity(options: DataDirectoryOptions): StoredIdentity {
  const { random, name, waits = false } = options;
  const clusterId = waits ? '' : (options.clusterId ?? mintClusterId(random));
  const identity = { clusterId, nodeId: mintId(random), name, logId: mintId(random) };
  const founding = waits ? [] : [{ id: identity.nodeId, name, address: '' }];
  return { identity, logCreated: false, founding };
}

/** The name of a cluster that is being founded. */
export function mintClusterId(random: Random): string {
  return `etl-${mintId(random).toString(36)}`;
}

/** A number from 1 to 2^53 - 1. */
function mintId(random: Random): number {
  return random.below(2 ** 21) * 2 ** 32 + random.below(2 ** 32 - 1) + 1;
}

function checkIdentity(options: DataDirectoryOptions, identity: Identity): void {
  const { path, name, clusterId } = options;
  if (clusterId !== undefined && clusterId !== identity.clusterId) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `data directory ${path} belongs to cluster ${identity.clusterId}, not ${clusterId}; give another --data-dir`,
      { details: { field: 'clusterId' } },
    );
  }
  if (name !== identity.name) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `data directory ${path} belongs to member ${identity.name}, not ${name}; start it with --node-id ${identity.name} or give another --data-dir`,
      { details: { field: 'node-id' } },
    );
  }
}

interface StoredIdentity {
  readonly identity: Identity;
  readonly logCreated: boolean;
  readonly founding: readonly FoundingMember[];
}

async function writeIdentity(disk: Disk, path: string, stored: StoredIdentity): Promise<void> {
  const { identity, logCreated, founding } = stored;
  const fields = { formatVersion, ...identity, logCreated, founding };
  const text = JSON.stringify({ ...fields, crc32: crc32(JSON.stringify(fields)) }, undefined, 2);
  await replaceFile(disk, `${path}/${identityFile}`, Buffer.from(`${text}\n`, 'utf8'));
}

async function readIdentity(disk: Disk, path: string): Promise<StoredIdentity | undefined> {
  const file = `${path}/${identityFile}`;
  const bytes = await readWhole(disk, file);
  if (bytes === undefined) return undefined;
  const text = Buffer.from(bytes).toString('utf8');
  let fields: { readonly [name: string]: unknown };
  try {
    fields = JSON.parse(text) as { readonly [name: string]: unknown };
  } catch {
    throw storageCorrupt(file, 0, 'it is not JSON');
  }
  const { crc32: expected, ...rest } = fields;
  if (crc32(JSON.stringify(rest)) !== expected) {
    throw storageCorrupt(file, 0, 'it does not match its checksum');
  }
  if (rest['formatVersion'] !== formatVersion) {
    throw new EtlError(
      'ETL_UNSUPPORTED',
      `${file} has format version ${String(rest['formatVersion'])} and this release knows ${formatVersion}; run the release that wrote it`,
    );
  }
  const { logCreated, founding, ...identity } = rest as unknown as Identity &
    Omit<StoredIdentity, 'identity'>;
  const { clusterId, nodeId, name, logId } = identity;
  return { identity: { clusterId, nodeId, name, logId }, logCreated, founding };
}
