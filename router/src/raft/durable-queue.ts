// Promises that wait for the disk: each leaves once every record that was begun before it is durable. Pure order.

import { assert } from '@etl-router/core';
import type { Message } from './messages.ts';

interface Held {
  /** The last record begun before. */
  readonly after: number;
  readonly messages: readonly Message[];
}

export class DurableQueue {
  #begun = 0;
  #ended = 0;
  /** Records on their way, with the index of the first entry of each. */
  readonly #unwritten: { readonly number: number; readonly firstIndex: number }[] = [];
  #held: Held[] = [];

  /** A record goes to the log; returns its number. */
  begin(firstIndex: number | undefined): number {
    this.#begun++;
    const known = firstIndex ?? Number.POSITIVE_INFINITY;
    this.#unwritten.push({ number: this.#begun, firstIndex: known });
    return this.#begun;
  }

  /** A record is durable. They become so in order. */
  end(number: number): void {
    assert(number === this.#ended + 1, 'records become durable in order');
    this.#ended = number;
    this.#unwritten.shift();
  }

  /** Whether a record is on its way. */
  get isWriting(): boolean {
    return this.#ended < this.#begun;
  }

  /** Entries from here on are not durable, or replace some that are. */
  get firstUnwritten(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { firstIndex } of this.#unwritten) first = Math.min(first, firstIndex);
    return first;
  }

  hold(messages: readonly Message[]): void {
    if (messages.length > 0) this.#held.push({ after: this.#begun, messages });
  }

  /** What may be told now. An answer to an append that a later one covers is left out. */
  take(): readonly Message[] {
    let count = 0;
    while (count < this.#held.length && (this.#held[count] as Held).after <= this.#ended) count++;
    const messages = this.#held.splice(0, count).flatMap((held) => held.messages);
    return messages.filter((message, at) => !isCovered(message, messages[at + 1]));
  }
}

/** Whether the next message says the same of the log and more: what is told to be held counts from the beginning. */
function isCovered(message: Message, next: Message | undefined): boolean {
  return (
    message.type === 'appendEntriesReply' &&
    next?.type === 'appendEntriesReply' &&
    !message.rejected &&
    !next.rejected &&
    message.to === next.to &&
    message.term === next.term &&
    message.index <= next.index
  );
}
