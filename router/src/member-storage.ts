// Opens what a single-node router keeps: its data directory, its log and the state above it. Nothing is handed out
// before the log is read and everything in it took effect.

import type { Clock, Logger, Random } from '@etl-router/core';
import { LevelStore } from './applied/level-store.ts';
import { Replica } from './applied/replica.ts';
import { segmentBytesWithin } from './consensus/log-quota.ts';
import { Opened } from './opened.ts';
import { RaftNode } from './raft/node.ts';
import { noTransport } from './raft/transport.ts';
import { StateHost } from './server/state-host.ts';
import { DataDirectory, type Identity } from './storage/data-directory.ts';
import { defaultSegmentBytes, Log, type SyncEvent } from './storage/log.ts';
import { nodeDisk } from './storage/node-disk.ts';

export interface MemberStorageOptions {
  /** The router's own folder. */
  readonly path: string;
  /** `--node-id`. */
  readonly name: string;
  /** Entries between two snapshots. */
  readonly snapshotInterval: number;
  /** What the log's files may take. */
  readonly logQuotaBytes: number;
  /** Told of every write of the log. */
  readonly onSync: (event: SyncEvent) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Storage that is open, its state as of the last entry. */
export interface MemberStorage {
  readonly identity: Identity;
  readonly host: StateHost;
  readonly consensus: RaftNode;
  /** Closes consensus with its log, then the rows, then gives the directory to others. */
  close(): Promise<void>;
}

/** Throws ETL_CONFLICT where another process has the folder, ETL_STORAGE_CORRUPT where it is damaged. */
export async function openMemberStorage(options: MemberStorageOptions): Promise<MemberStorage> {
  const { path, name, clock, random, logger, snapshotInterval, logQuotaBytes } = options;
  const directory = await DataDirectory.open({ disk: nodeDisk, path, name, random });
  const { clusterId, nodeId } = directory.identity;
  const startedAtMs = clock.monotonicMs();
  const opened = new Opened();
  opened.add(() => directory.close());
  try {
    const log = await openLog(directory, options);
    opened.add(() => log.close());
    const store = await LevelStore.open(directory.appliedDirectory);
    opened.add(() => store.close());
    const host = new StateHost();
    const snapshots = { disk: nodeDisk, directory: directory.snapshotDirectory, clusterId };
    const replica = await Replica.open({ store, machine: host, log, snapshots });
    const consensus = new RaftNode({
      ...{ log, clusterId, nodeId, snapshotInterval, logQuotaBytes, clock, random, logger },
      founder: { id: nodeId, name, address: '' },
      transport: noTransport,
    });
    opened.add(() => consensus.close());
    await consensus.start(replica);
    const durationMs = Math.round(clock.monotonicMs() - startedAtMs);
    const { lastIndex, tornBytes } = log;
    const { origin } = store;
    logger.info({ path, clusterId, lastIndex, tornBytes, origin, durationMs }, 'the state is read');
    return { identity: directory.identity, host, consensus, close: () => opened.close() };
  } catch (error) {
    await opened.abandon();
    throw error;
  }
}

async function openLog(
  directory: DataDirectory,
  { clock, logQuotaBytes, onSync }: MemberStorageOptions,
): Promise<Log> {
  const { clusterId, logId } = directory.identity;
  const log = await Log.open({
    disk: nodeDisk,
    directory: directory.logDirectory,
    clusterId,
    logId,
    clock,
    segmentBytes: segmentBytesWithin(logQuotaBytes, defaultSegmentBytes),
    onSync,
    create: !directory.logCreated,
  });
  if (!directory.logCreated) await directory.markLogCreated();
  return log;
}
