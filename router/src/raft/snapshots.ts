// When the state is written down as a whole, and what the log may forget then. The order is snapshot file, record in
// the log, release: each durable before the next begins. A log that can not forget, as the state stands still, takes no
// more entries than its memory has room for.

import type { ReplicatedState } from '../consensus/consensus.ts';
import type { LogQuota } from '../consensus/log-quota.ts';
import type { AppendDone, RaftLog } from '../storage/log-types.ts';
import type { Message } from './messages.ts';

export interface SnapshotRules {
  /** Entries between two snapshots. Default 10,000. */
  readonly snapshotInterval?: number;
  /** Memory of the log's entries at which a snapshot is made early. Default 64 MiB. */
  readonly snapshotBytes?: number;
  /** Entries kept behind a snapshot for members that lag. Default 5,000. */
  readonly trailingEntries?: number;
}

export interface SnapshotsOptions {
  readonly rules: SnapshotRules;
  readonly log: RaftLog & { readonly bytes: number };
  readonly quota: LogQuota;
  readonly state: ReplicatedState;
  /** Nobody else needs the log's entries. */
  readonly isAlone: () => boolean;
  readonly onError: (error: unknown) => void;
}

/** Where entries are no longer taken, in shares of the memory at which a snapshot is due: what the log may take... */
const heldShares = 2;
/** ...and by how much the state may lag whatever the log takes, which is two of the batches that it is handed. */
const lagShares: number = 1 / 8;
/** What stays behind a snapshot where room is short, of the memory or the quota: who is a little late needs no snapshot. */
const trailingShares: number = 1 / 8;

export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #interval: number;
  readonly #maxBytes: number;
  #running: Promise<void> | undefined;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#interval = options.rules.snapshotInterval ?? 10_000;
    this.#maxBytes = options.rules.snapshotBytes ?? 64 * 1024 * 1024;
  }

  /**
   * Whether a message is taken now. While the state lags, as that of a main thread that stands still, entries beyond the
   * memory of the log are not, as if they were lost: the leader sends them again, and everything else goes on.
   */
  takes(message: Message): boolean {
    if (message.type !== 'appendEntries' || message.entries.length === 0) return true;
    const { log, state } = this.#options;
    if (log.bytes < this.#maxBytes * heldShares) return true;
    // What is not committed does not count: it may have to give way to what comes.
    const low = Math.max(state.applied.index + 1, log.firstIndex);
    const high = Math.max(log.hardState.commit + 1, low);
    return log.entries(low, high, this.#maxBytes * lagShares).length === high - low;
  }

  /** Begins a snapshot if one is due and none is being made. */
  makeWhenDue(): void {
    if (this.#running !== undefined) return;
    const { log, quota, state } = this.#options;
    const entries = state.applied.index - log.snapshot.index;
    const isDue =
      entries >= this.#interval ||
      (entries > 0 && (log.bytes >= this.#maxBytes || quota.isHalfTaken));
    if (isDue) this.#running = this.#make();
  }

  /** Resolves when none is being made. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #make(): Promise<void> {
    const { log, state, onError } = this.#options;
    try {
      const snapshot = await state.snapshot();
      // One that a leader sent may have gone further meanwhile.
      if (snapshot.index > log.snapshot.index) {
        await done((tell) => log.append({ snapshot }, tell));
        await this.#release();
      }
    } catch (error) {
      onError(error);
    }
    this.#running = undefined;
  }

  async #release(): Promise<void> {
    const { log, isAlone } = this.#options;
    const index = log.snapshot.index - (isAlone() ? 0 : this.#trailing());
    if (index > log.compacted.index) await done((tell) => log.compact(index, tell));
  }

  /** How many entries stay behind the snapshot. */
  #trailing(): number {
    const { log, quota, rules } = this.#options;
    const most = rules.trailingEntries ?? 5000;
    if (!quota.isHalfTaken && log.bytes < this.#maxBytes) return most;
    let room = Math.min(this.#maxBytes, quota.maxBytes) * trailingShares;
    let count = 0;
    for (let index = log.snapshot.index; index >= log.firstIndex && count < most; index--) {
      const [entry] = log.entries(index, index + 1, 0);
      room -= entry?.data.length ?? 0;
      if (room < 0) break;
      count++;
    }
    return count;
  }
}

function done(work: (tell: AppendDone) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    work((error) => (error === undefined ? resolve() : reject(error)));
  });
}
