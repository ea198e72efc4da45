// Between async iterables and the streams of grpc-js. Nothing is written before there is room and nothing is read
// before it is asked for, so that a slow side holds up the other instead of filling memory.

import { EtlError, toEtlError } from '@etl-router/core';

/** The writable half of a call. */
export interface MessageSink {
  write(message: Buffer): boolean;
  once(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

/** A stream of grpc-js that says when a message has left. */
interface MessageStream extends MessageSink {
  write(message: Buffer, done?: () => void): boolean;
}

/** The writable half of a call that may end with an error, which must not overtake what was written before it. */
export class Outlet implements MessageSink {
  readonly #call: MessageStream;
  #pending = 0;
  #empty: (() => void) | undefined;

  constructor(call: MessageStream) {
    this.#call = call;
  }

  write(message: Buffer): boolean {
    this.#pending++;
    return this.#call.write(message, this.#done);
  }

  once(event: string, listener: () => void): unknown {
    return this.#call.once(event, listener);
  }

  off(event: string, listener: () => void): unknown {
    return this.#call.off(event, listener);
  }

  /** Resolves when all that was written has left, or `signal` aborts. */
  emptied(signal: AbortSignal): Promise<void> {
    if (this.#pending === 0 || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#empty = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  readonly #done = (): void => {
    if (--this.#pending === 0) this.#empty?.();
  };
}

/** Writes every item, waiting for room, until there are no more or `signal` aborts. */
export async function writeAll<Item>(
  items: AsyncIterable<Item>,
  call: MessageSink,
  encode: (item: Item) => Buffer,
  signal: AbortSignal,
): Promise<void> {
  for await (const item of items) {
    if (signal.aborted) return;
    if (!call.write(encode(item))) await room(call, signal);
  }
}

function room(call: MessageSink, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    if (signal.aborted) {
      resolve();
      return;
    }
    call.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
  });
}

/**
 * A bounded queue between someone who has messages to send now and a stream that takes them one by one, such as
 * credits and acknowledgements on a stream of records.
 */
export class MessageQueue<Item> implements AsyncIterable<Item> {
  readonly #maxItems: number;
  #items: Item[] = [];
  #end: { readonly error: EtlError | undefined } | undefined;
  #wake: (() => void) | undefined;

  /** Holds at most `maxItems` that were not taken yet. */
  constructor(maxItems = 1024) {
    this.#maxItems = maxItems;
  }

  /** Items that were not taken yet. */
  get size(): number {
    return this.#items.length;
  }

  /** Adds an item. Throws ETL_LIMIT_EXCEEDED when the queue is full; after the end, does nothing. */
  push(item: Item): void {
    if (this.#end !== undefined) return;
    if (this.#items.length >= this.#maxItems) {
      throw new EtlError(
        'ETL_LIMIT_EXCEEDED',
        `${this.#maxItems} messages wait to be sent and the other side takes none`,
      );
    }
    this.#items.push(item);
    this.#wake?.();
  }

  /** Ends the stream after what was added, or with `error` in place of it. */
  end(error?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { error: error === undefined ? undefined : toEtlError(error) };
    if (error !== undefined) this.#items = [];
    this.#wake?.();
  }

  /** Gives every item once; meant for one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
    try {
      for (;;) {
        const items = this.#items;
        this.#items = [];
        yield* items;
        if (this.#items.length > 0) continue;
        if (this.#end?.error !== undefined) throw this.#end.error;
        if (this.#end !== undefined) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      this.end();
    }
  }
}
