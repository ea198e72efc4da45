// Backups of the state at this router: made, kept, given, taken and restored. A backup is what was committed when it was
// asked for; a restore goes through the log, so every member has it at the same entry (docs/specs/0009-backup.md).

import { createHash } from 'node:crypto';
import { type Cancel, type Clock, EtlError, type Logger, type Random } from '@etl-router/core';
import { restoreIdleMs, restoreLeap } from '../state/limits.ts';
import { holdsNothing, runningRestoreKey } from '../state/restore.ts';
import {
  type BackupRow,
  backupFormatVersion,
  encodeBackupHead,
  encodeBackupRow,
  RowCounter,
} from '../storage/backup-file.ts';
import {
  type BackupFacts,
  type BackupInfo,
  type BackupStore,
  type BackupWriter,
  checkBackupId,
} from '../storage/backup-store.ts';
import type { LogPosition } from '../storage/log-types.ts';
import type { ServerConsensus } from './cluster.ts';
import { type Compression, decompress } from './compression.ts';
import { msOfNs, nsOfMs } from './numbers.ts';
import type { Proposer } from './proposer.ts';
import {
  BackupCheck,
  planRestore,
  type RestorePlan,
  revisionOf,
  runRestore,
} from './restore-driver.ts';
import type { StateHost } from './state-host.ts';

/** All rows as of one moment. */
export interface BackupView {
  readonly applied: LogPosition;
  rows(): AsyncIterable<readonly BackupRow[]>;
  close(): Promise<void>;
}

/** Where backups come from and go to. */
export interface BackupParts {
  readonly store: BackupStore;
  readonly view: () => Promise<BackupView>;
}

export interface BackupsOptions {
  /** Undefined: this router keeps none. */
  readonly parts: BackupParts | undefined;
  readonly host: StateHost;
  readonly consensus: ServerConsensus;
  readonly proposer: Proposer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** What a state holds. */
export type StateSummary = Pick<
  BackupInfo,
  | 'clusterId'
  | 'revision'
  | 'formatVersion'
  | 'objects'
  | 'pipelines'
  | 'services'
  | 'sidecars'
  | 'lanes'
  | 'groups'
>;

/** What a caller says of the backup it sends. */
export interface ExpectedBackup {
  readonly id: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
  readonly compression: Compression;
}

export interface RestoreRequest {
  readonly snapshotId: string;
  /** Checks everything and changes nothing. */
  readonly validateOnly?: boolean | undefined;
  /** The cluster whose state is replaced; needed unless the state holds nothing. */
  readonly clusterId?: string | undefined;
  /** The backup may be of another cluster. */
  readonly allowOtherCluster?: boolean | undefined;
  /** A repeat goes on where the first one ended. */
  readonly requestId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Restored {
  readonly state: StateSummary;
  /** What to know before relying on it, for people. */
  readonly warnings: readonly string[];
}

/** First letters of the keys of what a backup holds: neither sessions nor restores, nor the members of the cluster. */
const keptTags: ReadonlySet<number> = new Set(Array.from('0abcdefgh', (tag) => tag.charCodeAt(0)));
const writeBytes: number = 256 * 1024;
const uploadIdleMs = 30_000;
const expiryCheckMs = 30_000;

/** The backups of a router. */
export class Backups {
  readonly #options: BackupsOptions;
  readonly #busy = new Set<string>();
  #cancel: Cancel | undefined;

  constructor(options: BackupsOptions) {
    this.#options = options;
  }

  /** Begins to drop restores that fell silent; the leader does. */
  start(): void {
    this.#cancel ??= this.#options.clock.after(expiryCheckMs, () => this.#expire());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Keeps all that is committed now. Throws ETL_CONFLICT while another one is being made, or for a name that is taken. */
  async create(id: string | undefined, signal?: AbortSignal): Promise<BackupInfo> {
    const { store, view } = this.#parts();
    const { clock, consensus } = this.#options;
    if (id !== undefined) checkBackupId(id);
    return this.#alone('a snapshot is being made', async () => {
      await consensus.readIndex({ signal });
      const createdAtMs = clock.wallMs();
      const seen = await view();
      try {
        const name = id ?? nameAt(createdAtMs, seen.applied.index);
        return await store.add(name, (writer) =>
          this.#write(writer, seen, { createdAtMs, signal }),
        );
      } finally {
        await seen.close();
      }
    });
  }

  /** The newest first. */
  list(): Promise<readonly BackupInfo[]> {
    return this.#parts().store.list();
  }

  /** Throws ETL_NOT_FOUND. */
  get(id: string): Promise<BackupInfo> {
    return this.#parts().store.get(id);
  }

  /** The bytes of a backup from `offset` on. */
  read(id: string, offset = 0): AsyncIterable<Uint8Array> {
    return this.#parts().store.read(id, offset);
  }

  /** One that is not there is no error. */
  delete(id: string): Promise<void> {
    return this.#parts().store.delete(id);
  }

  /**
   * Takes a backup and keeps it, once all of it came and is what was announced. Nothing of it takes effect. Throws
   * ETL_INVALID_ARGUMENT for anything else, ETL_CONFLICT while another one comes.
   */
  async receive(
    expected: ExpectedBackup,
    chunks: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<BackupInfo> {
    const { store } = this.#parts();
    checkExpected(expected, store.limits.bytes);
    return this.#alone('a snapshot is being uploaded', () =>
      store.add(expected.id, async (writer) => {
        const check = new BackupCheck();
        const hash = createHash('sha256');
        const heard = withinSilence(chunks, this.#options.clock, uploadIdleMs);
        for await (const chunk of decompress(heard, expected.compression, expected.bytes)) {
          signal?.throwIfAborted();
          hash.update(chunk);
          await writer.write(chunk);
          check.read(chunk);
        }
        signal?.throwIfAborted();
        checkReceived(expected, writer.bytes, hash.digest('hex'));
        const { head, counts } = check.end();
        return { ...head, ...counts };
      }),
    );
  }

  /** What the state holds, and up to which entry, once all that was committed before is here. */
  async state(
    signal?: AbortSignal,
  ): Promise<StateSummary & { readonly commitIndex: number; readonly term: number }> {
    const { consensus } = this.#options;
    await consensus.readIndex({ signal });
    const { commitIndex, term } = consensus.status();
    return { ...this.#summary(), commitIndex, term };
  }

  /**
   * Puts a backup in place of the state. Throws ETL_UNSAFE where that was not asked for in so many words, ETL_CONFLICT while
   * another one is restored; the state is as it was then.
   */
  async restore(request: RestoreRequest): Promise<Restored> {
    const { store } = this.#parts();
    const { proposer, clock, consensus } = this.#options;
    const { snapshotId, requestId, signal } = request;
    const info = await store.get(snapshotId);
    return this.#alone('a snapshot is being restored', async () => {
      await consensus.readIndex({ signal });
      this.#checkConsent(request, info);
      const plan = await planRestore(store, info);
      const result = { state: summaryOf(plan), warnings: this.#warnings(plan) };
      if (request.validateOnly === true) return result;
      const restoreId = requestId ?? this.#mintId();
      const replacesState = request.clusterId !== undefined;
      await runRestore({
        ...{ store, proposer, clock, snapshotId, restoreId, replacesState, plan, signal },
      });
      this.#options.logger.info(
        { snapshotId, restoreId, revision: String(this.#summary().revision) },
        'a snapshot is restored',
      );
      return result;
    });
  }

  #parts(): BackupParts {
    const { parts } = this.#options;
    if (parts !== undefined) return parts;
    throw new EtlError(
      'ETL_UNSUPPORTED',
      'this router keeps no snapshots: it has no data directory',
    );
  }

  async #write(
    writer: BackupWriter,
    view: BackupView,
    {
      createdAtMs,
      signal,
    }: { readonly createdAtMs: number; readonly signal: AbortSignal | undefined },
  ): Promise<BackupFacts> {
    const { clusterId } = this.#options.consensus.status();
    const { index, term } = view.applied;
    const head = { clusterId, index, term, createdAtMs };
    const counter = new RowCounter();
    let waiting: Uint8Array[] = [encodeBackupHead(head)];
    let bytes = 0;
    for await (const rows of view.rows()) {
      signal?.throwIfAborted();
      for (const row of rows) {
        if (!keptTags.has(row[0][0] as number)) continue;
        counter.add(row, revisionOf);
        waiting.push(...encodeBackupRow(row));
        bytes += row[0].length + row[1].length;
      }
      if (bytes < writeBytes) continue;
      await writer.write(Buffer.concat(waiting));
      waiting = [];
      bytes = 0;
    }
    await writer.write(Buffer.concat(waiting));
    return { ...head, ...counter.counts };
  }

  #checkConsent(request: RestoreRequest, info: BackupInfo): void {
    const { clusterId } = this.#options.consensus.status();
    const running = this.#options.host.tables.restores.get(runningRestoreKey);
    if (
      running !== undefined &&
      running.restoreId !== request.requestId &&
      this.#isFresh(running.lastSeenAtNs)
    ) {
      throw new EtlError(
        'ETL_CONFLICT',
        `restore ${running.restoreId} is under way; repeat when it ended`,
      );
    }
    if (info.clusterId !== clusterId && request.allowOtherCluster !== true) {
      throw new EtlError(
        'ETL_UNSAFE',
        `snapshot ${info.id} is of cluster ${info.clusterId} and this is ${clusterId}; allow another cluster to restore it all the same`,
        { details: { clusterId, snapshotClusterId: info.clusterId } },
      );
    }
    if (request.clusterId !== undefined && request.clusterId !== clusterId) {
      throw new EtlError(
        'ETL_UNSAFE',
        `cluster_id: the state of cluster ${request.clusterId} was to be replaced and this is ${clusterId}; ask a member of that one`,
        { details: { clusterId } },
      );
    }
    if (request.clusterId !== undefined || holdsNothing(this.#options.host.tables)) return;
    throw new EtlError(
      'ETL_UNSAFE',
      `the state of cluster ${clusterId} is not empty; name the cluster to have it replaced`,
      { details: { clusterId } },
    );
  }

  #warnings({ head, counts }: RestorePlan): readonly string[] {
    const { revision, clusterId } = this.#summary();
    const ageS = Math.max(0, Math.round((this.#options.clock.wallMs() - head.createdAtMs) / 1000));
    const isOwn = head.clusterId === clusterId;
    const lost = isOwn && revision > counts.revision ? revision - counts.revision : 0n;
    return [
      ...(isOwn ? [] : [`It is of another cluster, ${head.clusterId}.`]),
      ...(lost > 0n ? [`${changesOf(lost)} made since the snapshot, ${ageS} s ago: undone.`] : []),
      ...(counts.pipelines > 0
        ? [
            'Pipelines go on from the positions in it: what they wrote since is written again, except to sinks that keep positions themselves.',
          ]
        : []),
    ];
  }

  #summary(): StateSummary {
    const { tables } = this.#options.host;
    let pipelines = 0;
    for (const { kind } of tables.objects.rows()) if (kind === 'EtlPipeline') pipelines += 1;
    return {
      clusterId: this.#options.consensus.status().clusterId,
      revision: tables.clock().revision,
      formatVersion: backupFormatVersion,
      objects: tables.objects.size,
      pipelines,
      services: tables.services.size,
      sidecars: tables.sidecars.size,
      lanes: tables.lanes.size,
      groups: tables.groups.size,
    };
  }

  /** Runs what only one caller may do at a time. */
  async #alone<Result>(what: string, run: () => Promise<Result>): Promise<Result> {
    if (this.#busy.has(what)) {
      throw new EtlError('ETL_CONFLICT', `${what} at this router already; repeat when it ended`, {
        retryable: true,
      });
    }
    this.#busy.add(what);
    try {
      return await run();
    } finally {
      this.#busy.delete(what);
    }
  }

  #isFresh(lastSeenAtNs: bigint): boolean {
    return nsOfMs(this.#options.clock.wallMs()) - lastSeenAtNs < nsOfMs(restoreIdleMs);
  }

  #expire(): void {
    const { host, proposer, clock, logger } = this.#options;
    const running = host.tables.restores.get(runningRestoreKey);
    this.#cancel = clock.after(expiryCheckMs, () => this.#expire());
    if (running === undefined || this.#isFresh(running.lastSeenAtNs)) return;
    const { restoreId, lastSeenAtNs } = running;
    const value = { restoreId, lastSeenAtNs };
    proposer.propose({ case: 'abortRestore', value }).catch((error: unknown) => {
      logger.debug(
        { err: error, restoreId, lastSeenAtMs: msOfNs(lastSeenAtNs) },
        'a restore was not dropped',
      );
    });
  }

  #mintId(): string {
    const { random, clock } = this.#options;
    const digits = Array.from({ length: 8 }, () => random.below(16).toString(16)).join('');
    return `restore-${timeName(clock.wallMs())}-${digits}`;
  }
}

/** A restore makes the revision leap: behind one nobody can tell how many of the rest were changes. */
function changesOf(revisions: bigint): string {
  if (revisions >= restoreLeap) return 'A restore and maybe changes were';
  return revisions === 1n ? '1 change was' : `${revisions} changes were`;
}

function summaryOf({ head, counts }: RestorePlan): StateSummary {
  return { clusterId: head.clusterId, formatVersion: backupFormatVersion, ...counts };
}

function checkExpected({ id, bytes, sha256 }: ExpectedBackup, maxBytes: number): void {
  checkBackupId(id);
  if (!/^[0-9a-f]{64}$/.test(sha256))
    throw new EtlError('ETL_INVALID_ARGUMENT', 'sha256: must have 32 bytes');
  if (bytes >= 1 && bytes <= maxBytes) return;
  throw new EtlError('ETL_LIMIT_EXCEEDED', `size_bytes: must be 1 to ${maxBytes}, not ${bytes}`, {
    details: { limitBytes: maxBytes },
  });
}

function checkReceived({ id, ...expected }: ExpectedBackup, bytes: number, sha256: string): void {
  if (bytes !== expected.bytes) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `snapshot ${id}: ${bytes} bytes came and ${expected.bytes} were announced; it is cut, or another one`,
    );
  }
  if (sha256 === expected.sha256) return;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `snapshot ${id}: what came has the SHA-256 ${sha256}, not ${expected.sha256}; it is damaged`,
  );
}

/** `20261121T114500Z`. */
function timeName(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.\d+/g, '');
}

function nameAt(ms: number, index: number): string {
  return `${timeName(ms)}-${index}`;
}

/** The chunks, or ETL_TIMEOUT where none comes for so long. */
async function* withinSilence(
  chunks: AsyncIterable<Uint8Array>,
  clock: Clock,
  silenceMs: number,
): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const silence = Promise.withResolvers<never>();
      const cancel = clock.after(silenceMs, () =>
        silence.reject(new EtlError('ETL_TIMEOUT', `no bytes came for ${silenceMs / 1000} s`)),
      );
      const step = await Promise.race([iterator.next(), silence.promise]).finally(cancel);
      if (step.done === true) return;
      yield step.value;
    }
  } finally {
    // Whoever gave the chunks up may say so too late.
    void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}
