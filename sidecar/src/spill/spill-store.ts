// All spills of a sidecar, one directory for each queue. Which queues exist is read from the disk when a run starts,
// so that what an earlier process spilled is delivered even where the source's partition is gone.

import { createHash } from 'node:crypto';
import type { Failpoints } from '../engine/failpoints.ts';
import { type Directory, nodeDirectory } from '../storage/directory.ts';
import { type SpillKey, SpillQueue } from './spill-queue.ts';

export interface SpillStoreOptions {
  /** A path, or a directory of another kind for tests. */
  readonly directory: string | Directory;
  /** Size of the files a queue is kept in, and so how fine its space comes back. Default 8 MiB. */
  readonly segmentBytes?: number;
}

export class SpillStore {
  readonly #directory: Directory;
  readonly #segmentBytes: number;

  constructor({ directory, segmentBytes }: SpillStoreOptions) {
    this.#directory = typeof directory === 'string' ? nodeDirectory(directory) : directory;
    this.#segmentBytes = segmentBytes ?? 8 * 1024 * 1024;
  }

  /** Opens the queues of a pipeline that hold something. */
  async recover(pipelineId: string, failpoints: Failpoints): Promise<readonly SpillQueue[]> {
    const options = { failpoints, segmentBytes: this.#segmentBytes };
    const directory = this.#directory.directory(hash(pipelineId));
    const queues: SpillQueue[] = [];
    for (const name of await directory.list()) {
      const queue = await SpillQueue.recover(directory.directory(name), options);
      if (queue === undefined) continue;
      if (queue.isEmpty) await queue.destroy();
      else queues.push(queue);
    }
    return queues;
  }

  /** A queue that holds nothing yet. Not for a key that {@link recover} gave. */
  create(key: SpillKey, failpoints: Failpoints): SpillQueue {
    const name = hash(nameOf(key));
    const directory = this.#directory.directory(hash(key.pipelineId)).directory(name);
    return SpillQueue.create(key, directory, { failpoints, segmentBytes: this.#segmentBytes });
  }
}

/** The queues of one run, found by edge and lane. A lane that is opened again finds its queue again. */
export class RunSpills {
  readonly #store: SpillStore;
  readonly #pipelineId: string;
  readonly #failpoints: Failpoints;
  readonly #queues = new Map<string, SpillQueue>();

  constructor(store: SpillStore, pipelineId: string, failpoints: Failpoints) {
    this.#store = store;
    this.#failpoints = failpoints;
    this.#pipelineId = pipelineId;
  }

  /** Finds what earlier processes left. */
  async recover(): Promise<void> {
    for (const queue of await this.#store.recover(this.#pipelineId, this.#failpoints)) {
      this.#queues.set(nameOf(queue.key), queue);
    }
  }

  get all(): readonly SpillQueue[] {
    return [...this.#queues.values()];
  }

  /** The queue of an edge and lane that holds something, from its first unresolved frame on. */
  async reopen(key: EdgeLane): Promise<SpillQueue | undefined> {
    const queue = this.#queues.get(nameOf(key));
    await queue?.settled();
    queue?.rewind();
    return queue?.isEmpty === true ? undefined : queue;
  }

  create(key: EdgeLane): SpillQueue {
    const name = nameOf(key);
    const queue =
      this.#queues.get(name) ??
      this.#store.create({ pipelineId: this.#pipelineId, ...key }, this.#failpoints);
    this.#queues.set(name, queue);
    return queue;
  }

  /** Removes a queue and what it holds. */
  async destroy(queue: SpillQueue): Promise<void> {
    this.#queues.delete(nameOf(queue.key));
    await queue.destroy();
  }

  async close(): Promise<void> {
    for (const queue of this.#queues.values()) await queue.close();
    this.#queues.clear();
  }
}

type EdgeLane = Omit<SpillKey, 'pipelineId'>;

function nameOf({ edge, source, partition }: EdgeLane): string {
  return JSON.stringify([edge, source, partition]);
}

/** Names are of any length and hold any character; a file's may not. */
function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
