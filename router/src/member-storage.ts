// Opens what a member keeps and makes it take part: its data directory, the state, and in a thread of its own the log
// and the network. Nothing is handed out before the log is read.

import {
  type Clock,
  EtlError,
  type Logger,
  type LogLevel,
  logRelayed,
  type Random,
} from '@etl-router/core';
import { Divergence } from './applied/divergence.ts';
import { LevelStore } from './applied/level-store.ts';
import { Replica } from './applied/replica.ts';
import { Opened } from './opened.ts';
import type { LoopDelay } from './raft/thread/protocol.ts';
import { RaftThread } from './raft/thread/raft-thread.ts';
import { startLogThread } from './raft/thread/start-log-thread.ts';
import type { MemberNetwork, MemberRules, ThreadOptions } from './raft/thread/thread-options.ts';
import type { ApiAddresses } from './raft/transport.ts';
import type { BackupParts } from './server/backups.ts';
import { StateHost } from './server/state-host.ts';
import { BackupStore } from './storage/backup-store.ts';
import { DataDirectory, type Identity } from './storage/data-directory.ts';
import { readWhole, replaceFile } from './storage/disk.ts';
import type { SyncEvent } from './storage/log.ts';
import { nodeDisk } from './storage/node-disk.ts';

export interface MemberStorageOptions extends MemberRules {
  /** The router's own folder. */
  readonly path: string;
  /** `--node-id`. */
  readonly name: string;
  readonly network: MemberNetwork;
  /** Told of every write of the log. */
  readonly onSync: (event: SyncEvent) => void;
  /** Told regularly how late the log's thread was, and whether there are other members. */
  readonly onDelay?: (delay: LoopDelay, hasOthers: boolean) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Ends the wait for the other members. */
  readonly signal: AbortSignal;
}

/** Storage that is open, its state as of the last entry. */
export interface MemberStorage {
  readonly identity: Identity;
  readonly host: StateHost;
  readonly consensus: RaftThread;
  readonly backups: BackupParts;
  readonly divergence: Divergence;
  /** Says from now on where clients reach this member. */
  announce(own: ApiAddresses): void;
  /** Closes consensus with its log, then the rows, then gives the directory to others. */
  close(): Promise<void>;
}

/**
 * Resolves when it leads a cluster of its own, or takes part in one. Throws ETL_CONFLICT where another process has the
 * folder, ETL_STORAGE_CORRUPT where it is damaged, ETL_PORT_IN_USE for the port of the members.
 */
export async function openMemberStorage(options: MemberStorageOptions): Promise<MemberStorage> {
  const { path, name, random, network } = options;
  const waits = network.isOpen;
  await refuseDiverged(path);
  const directory = await DataDirectory.open({ disk: nodeDisk, path, name, random, waits });
  const opened = new Opened();
  opened.add(() => directory.close());
  try {
    return await open(options, directory, opened);
  } catch (error) {
    await opened.abandon();
    throw error;
  }
}

async function open(
  options: MemberStorageOptions,
  directory: DataDirectory,
  opened: Opened,
): Promise<MemberStorage> {
  const { path, clock, logger, signal } = options;
  const startedAtMs = clock.monotonicMs();
  const store = await LevelStore.open(directory.appliedDirectory);
  opened.add(() => store.close());
  const consensus = startThread(options, directory);
  opened.add(() => consensus.close());
  const log = await consensus.open(store.applied.index, signal);
  const { clusterId, nodeId } = directory.identity;
  const host = new StateHost();
  const snapshots = { disk: nodeDisk, directory: directory.snapshotDirectory, clusterId };
  const divergence = new Divergence({
    self: nodeId,
    voters: () => consensus.membership.configuration.voters,
    remember: (error) => rememberDivergence(path, error),
  });
  opened.add(() => divergence.close());
  const replica = await Replica.open({ store, machine: host, log, snapshots, divergence });
  await consensus.start(replica);
  const durationMs = Math.round(clock.monotonicMs() - startedAtMs);
  const { tornBytes } = log;
  const { lastIndex } = consensus.status();
  const { origin } = store;
  logger.info(
    { path, clusterId, raftId: nodeId, lastIndex, tornBytes, origin, durationMs },
    'the state is read',
  );
  return {
    ...{ identity: directory.identity, host, consensus, divergence },
    backups: { store: await BackupStore.open(`${path}/backups`), view: () => store.view() },
    announce: (own) => consensus.announce(own),
    close: () => opened.close(),
  };
}

/** File that a member leaves whose state is not that of the others: it is never to be believed again. */
const divergedName = 'diverged';

async function rememberDivergence(path: string, { message }: EtlError): Promise<void> {
  await replaceFile(nodeDisk, `${path}/${divergedName}`, Buffer.from(`${message}\n`));
}

async function refuseDiverged(path: string): Promise<void> {
  const file = `${path}/${divergedName}`;
  const found = await readWhole(nodeDisk, file);
  if (found === undefined) return;
  const message = Buffer.from(found).toString('utf8').trim();
  throw new EtlError('ETL_STATE_DIVERGED', `${file}: ${message}`, { details: { file } });
}

function startThread(options: MemberStorageOptions, directory: DataDirectory): RaftThread {
  const { logger, onSync, onDelay, clock } = options;
  const thread = startLogThread(threadOptions(options, directory));
  const { clusterId, nodeId } = directory.identity;
  const started: RaftThread = new RaftThread({
    ...thread,
    ...{ clusterId, nodeId, directory, onSync, clock },
    onDelay: (delay) => onDelay?.(delay, started.membership.members.length > 1),
    onLogLine: (line) => logRelayed(logger, line),
  });
  return started;
}

function threadOptions(options: MemberStorageOptions, directory: DataDirectory): ThreadOptions {
  const { network, random, logger } = options;
  const { heartbeatMs, electionMs, snapshotInterval, logQuotaBytes } = options;
  const { identity, founding, logCreated, logDirectory, snapshotDirectory } = directory;
  return {
    ...{ network, heartbeatMs, electionMs, snapshotInterval, logQuotaBytes },
    directory: { identity, founding, logCreated, logDirectory, snapshotDirectory },
    seed: random.below(2 ** 32),
    logLevel: logger.level as LogLevel,
  };
}
