// What waits to be sent to one member on one stream. Bounded in number and bytes: a member that reads nothing costs
// this much memory and no more. What does not fit is not taken; Raft sends it again when it matters.

import type { RaftMessage } from '@etl-router/proto/raft';
import type { Message } from '../messages.ts';
import { encodeRaftMessage, maxMessageEntries } from './message-codec.ts';

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
  readonly messages: readonly RaftMessage[];
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
    const parts = splitAppend(message).map((part) => ({ message: part, bytes: sizeOf(part) }));
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    const { maxMessages, maxBytes } = this.#limits;
    const isFull =
      this.#queue.length + parts.length > maxMessages || this.#bytes + bytes > maxBytes;
    if (isFull && this.#queue.length > 0) return false;
    this.#queue.push(...parts);
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
    return { messages: taken.map(({ message }) => encodeRaftMessage(message)), bytes };
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

/** Entries beyond what one message may hold follow in messages of their own. */
function splitAppend(message: Message): readonly Message[] {
  if (message.type !== 'appendEntries' || message.entries.length <= maxMessageEntries) {
    return [message];
  }
  const parts: Message[] = [];
  let { previousIndex, previousTerm } = message;
  for (let at = 0; at < message.entries.length; at += maxMessageEntries) {
    const entries = message.entries.slice(at, at + maxMessageEntries);
    parts.push({ ...message, previousIndex, previousTerm, entries });
    const last = entries.at(-1);
    if (last !== undefined) {
      previousIndex = last.index;
      previousTerm = last.term;
    }
  }
  return parts;
}
