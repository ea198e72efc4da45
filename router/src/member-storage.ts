// Opens what a single-node router keeps: its data directory, its log and the state above it. Nothing is handed out
// before the log is read and everything in it took effect.

import type { Clock, Logger, Random } from '@etl-router/core';
import { EtlError } from '@etl-router/core';
import type { CommittedEntry, ReplicatedState } from './consensus/consensus.ts';
import { SingleNode } from './consensus/single-node.ts';
import { StateHost } from './server/state-host.ts';
import { DataDirectory, type Identity } from './storage/data-directory.ts';
import { Log } from './storage/log.ts';
import type { LogPosition } from './storage/log-types.ts';
import { nodeDisk } from './storage/node-disk.ts';

export interface MemberStorageOptions {
  /** The router's own folder. */
  readonly path: string;
  /** `--node-id`. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Storage that is open, its state as of the last entry. */
export interface MemberStorage {
  readonly identity: Identity;
  readonly host: StateHost;
  readonly consensus: SingleNode;
  /** Closes consensus with its log, then gives the directory to others. */
  close(): Promise<void>;
}

/** Throws ETL_CONFLICT where another process has the folder, ETL_STORAGE_CORRUPT where it is damaged. */
export async function openMemberStorage(options: MemberStorageOptions): Promise<MemberStorage> {
  const { path, name, clock, random, logger } = options;
  const directory = await DataDirectory.open({ disk: nodeDisk, path, name, random });
  const { clusterId, nodeId, logId } = directory.identity;
  const startedAtMs = clock.monotonicMs();
  let log: Log | undefined;
  try {
    log = await Log.open({
      disk: nodeDisk,
      directory: directory.logDirectory,
      clusterId,
      logId,
      clock,
      create: !directory.logCreated,
    });
    if (!directory.logCreated) await directory.markLogCreated();
    const state = new ReplayedState();
    const consensus = new SingleNode({
      log,
      clusterId,
      nodeId,
      snapshotInterval: Number.MAX_SAFE_INTEGER,
      snapshotBytes: Number.MAX_SAFE_INTEGER,
    });
    await consensus.start(state);
    const durationMs = Math.round(clock.monotonicMs() - startedAtMs);
    const { lastIndex, tornBytes } = log;
    logger.info({ path, clusterId, lastIndex, tornBytes, durationMs }, 'the log is read');
    return {
      identity: directory.identity,
      host: state.host,
      consensus,
      close: async () => {
        await consensus.close();
        await directory.close();
      },
    };
  } catch (error) {
    await log?.close();
    await directory.close();
    throw error;
  }
}

/** The state in memory alone: every start applies the whole log. */
class ReplayedState implements ReplicatedState {
  readonly host: StateHost = new StateHost();
  #applied: LogPosition = { index: 0, term: 0 };

  get applied(): LogPosition {
    return this.#applied;
  }

  async apply(entries: readonly CommittedEntry[]): Promise<readonly Uint8Array[]> {
    return entries.map(({ data, index, term }) => {
      const { result } = this.host.apply(data);
      this.#applied = { index, term };
      return result;
    });
  }

  snapshot(): Promise<LogPosition> {
    return Promise.reject(new EtlError('ETL_UNSUPPORTED', 'the state is kept by the log alone'));
  }
}
