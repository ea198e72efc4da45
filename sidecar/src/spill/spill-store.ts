// All spills of a sidecar, one directory for each queue. Which queues exist is read from the disk when a run starts,
// so that what an earlier process spilled is delivered even where the source's partition is gone.

import { createHash } from 'node:crypto';
import { type Failpoints, noFailpoints } from '../engine/failpoints.ts';
import type { Directory } from '../storage/directory.ts';
import { type SpillKey, SpillQueue } from './spill-queue.ts';

export interface SpillStoreOptions {
  readonly directory: Directory;
  readonly failpoints?: Failpoints;
  /** Size of the files a queue is kept in, and so how fine its space comes back. Default 8 MiB. */
  readonly segmentBytes?: number;
}

export class SpillStore {
  readonly #directory: Directory;
  readonly #queueOptions: { readonly failpoints: Failpoints; readonly segmentBytes: number };

  constructor(options: SpillStoreOptions) {
    this.#directory = options.directory;
    this.#queueOptions = {
      failpoints: options.failpoints ?? noFailpoints,
      segmentBytes: options.segmentBytes ?? 8 * 1024 * 1024,
    };
  }

  /** Opens the queues of a pipeline that hold something. */
  async recover(pipelineId: string): Promise<readonly SpillQueue[]> {
    const directory = this.#directory.directory(hash(pipelineId));
    const queues: SpillQueue[] = [];
    for (const name of await directory.list()) {
      const queue = await SpillQueue.recover(directory.directory(name), this.#queueOptions);
      if (queue === undefined) continue;
      if (queue.isEmpty) await queue.destroy();
      else queues.push(queue);
    }
    return queues;
  }

  /** A queue that holds nothing yet. Not for a key that {@link recover} gave. */
  create(key: SpillKey): SpillQueue {
    const name = hash(nameOf(key));
    const directory = this.#directory.directory(hash(key.pipelineId)).directory(name);
    return SpillQueue.create(key, directory, this.#queueOptions);
  }
}

/** The queues of one run, found by edge and lane. A lane that is opened again finds its queue again. */
export class RunSpills {
  readonly #store: SpillStore;
  readonly #pipelineId: string;
  readonly #queues = new Map<string, SpillQueue>();

  constructor(store: SpillStore, pipelineId: string) {
    this.#store = store;
    this.#pipelineId = pipelineId;
  }

  /** Finds what earlier processes left. */
  async recover(): Promise<void> {
    for (const queue of await this.#store.recover(this.#pipelineId)) {
      this.#queues.set(nameOf(queue.key), queue);
    }
  }

  get all(): readonly SpillQueue[] {
    return [...this.#queues.values()];
  }

  /** The queue of an edge and lane that holds something, from its first unresolved frame on. */
  reopen(key: EdgeLane): SpillQueue | undefined {
    const queue = this.#queues.get(nameOf(key));
    queue?.rewind();
    return queue?.isEmpty === true ? undefined : queue;
  }

  create(key: EdgeLane): SpillQueue {
    const name = nameOf(key);
    const queue =
      this.#queues.get(name) ?? this.#store.create({ pipelineId: this.#pipelineId, ...key });
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
