// What waits to be sent to one member on one stream. Bounded in number and bytes: a member that reads nothing costs
// this much memory and no more. What does not fit is not taken; Raft sends it again when it matters.

import type { Message } from '../messages.ts';

export interface OutboxLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** Messages and bytes of one frame; a single message may be larger. */
const maxFrameMessages = 1024;
const maxFrameBytes: number = 1024 * 1024;

/** What is written around a message and around an entry, at most. */
const messageOverheadBytes = 96;
const entryOverheadBytes = 32;

interface Queued {
  readonly message: Message;
  readonly bytes: number;
}

/** Messages that leave together. */
export interface Frame {
  readonly messages: readonly Message[];
  readonly bytes: number;
}

export class Outbox {
  readonly #limits: OutboxLimits;
  #queue: Queued[] = [];
  #bytes = 0;

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  get length(): number {
    return this.#queue.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a message; false: it does not fit. */
  push(message: Message): boolean {
    const bytes = sizeOf(message);
    const { maxMessages, maxBytes } = this.#limits;
    const isFull = this.#queue.length >= maxMessages || this.#bytes + bytes > maxBytes;
    if (isFull && this.#queue.length > 0) return false;
    this.#queue.push({ message, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** The next frame, in order. */
  take(): Frame {
    let bytes = 0;
    let count = 0;
    for (; count < Math.min(this.#queue.length, maxFrameMessages); count++) {
      const next = (this.#queue[count] as Queued).bytes;
      if (count > 0 && bytes + next > maxFrameBytes) break;
      bytes += next;
    }
    const taken = this.#queue.splice(0, count);
    this.#bytes -= bytes;
    return { messages: taken.map(({ message }) => message), bytes };
  }

  /** Drops everything and says how many it were. */
  clear(): number {
    const count = this.#queue.length;
    this.#queue = [];
    this.#bytes = 0;
    return count;
  }
}

function sizeOf(message: Message): number {
  if (message.type !== 'appendEntries') return messageOverheadBytes;
  return message.entries.reduce(
    (sum, { data }) => sum + data.length + entryOverheadBytes,
    messageOverheadBytes,
  );
}
