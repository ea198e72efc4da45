// What other members send here. A stream is taken from a member of this cluster only, and every message on it must be
// from that member to this one; anything else ends the stream with an error that says why, and is counted.

import { type Cancel, type Clock, EtlError } from '@etl-router/core';
import type { CallContext } from '@etl-router/proto/grpc';
import type { ExchangeRequest, ExchangeResponse } from '@etl-router/proto/raft';
import type { Message } from '../messages.ts';
import { type PeerIdentity, RefusedPeer } from './identity.ts';
import { decodeRaftMessage } from './message-codec.ts';

/** Streams that one member may have open here: two, and two more while it dials again. */
const maxStreamsPerMember = 4;
const maxStreams = 64;
const maxFrameMessages = 1024;
/** The sender is told how far was read after so many frames, or bytes of entries: long before it would wait for it. */
const framesPerReceipt = 16;
const bytesPerReceipt: number = 1024 * 1024;
/** How long a stream may say nothing about who sends. */
const introductionMs = 10_000;

export interface InboundParts {
  readonly clock: Clock;
  readonly self: () => PeerIdentity;
  /** Throws where the sender is not to be heard. */
  readonly admit: (request: ExchangeRequest['from'], context: CallContext) => PeerIdentity;
  readonly receive: (message: Message) => void;
  /** A member's first stream opened, or its last one closed. */
  readonly onPresence: (peer: PeerIdentity, isPresent: boolean) => void;
}

/** A stream that is being read. */
interface Open {
  readonly peer: PeerIdentity;
  readonly end: (error: EtlError) => void;
}

export class Inbound {
  readonly #parts: InboundParts;
  /** In the order they were opened. */
  readonly #open = new Set<Open>();

  constructor(parts: InboundParts) {
    this.#parts = parts;
  }

  /** Members with a stream open. */
  get members(): ReadonlySet<number> {
    return new Set(Array.from(this.#open, ({ peer }) => peer.id));
  }

  /** Ends the streams of those that `stays` is false for. */
  endOthers(stays: (peer: PeerIdentity) => boolean, why: EtlError): void {
    for (const open of this.#open) if (!stays(open.peer)) open.end(why);
  }

  /** The handler of the call Exchange. */
  async *exchange(
    requests: AsyncIterable<ExchangeRequest>,
    context: CallContext,
  ): AsyncGenerator<Pick<ExchangeResponse, 'framesRead'>, void> {
    const frames = new InterruptibleReader(requests);
    const cancel = this.#limitIntroduction(frames);
    let open: Open | undefined;
    let framesRead = 0n;
    let framesTold = 0n;
    let bytesUntold = 0;
    try {
      for (;;) {
        const frame = await frames.next();
        if (frame === undefined) return;
        cancel();
        if (open === undefined) open = this.#begin(this.#parts.admit(frame.from, context), frames);
        else if (frame.from !== undefined) {
          throw new RefusedPeer('malformed', 'from: is said with the first frame only');
        }
        bytesUntold += this.#take(frame, open.peer);
        framesRead++;
        const isFirst = framesTold === 0n;
        const isMuch =
          framesRead - framesTold >= framesPerReceipt || bytesUntold >= bytesPerReceipt;
        if (!isFirst && !isMuch) continue;
        framesTold = framesRead;
        bytesUntold = 0;
        yield { framesRead };
      }
    } finally {
      cancel();
      if (open !== undefined) this.#ended(open);
    }
  }

  #limitIntroduction(frames: InterruptibleReader<ExchangeRequest>): Cancel {
    return this.#parts.clock.after(introductionMs, () =>
      frames.end(
        new EtlError('ETL_TIMEOUT', `from: who sends was not said within ${introductionMs} ms`),
      ),
    );
  }

  #begin(peer: PeerIdentity, frames: InterruptibleReader<ExchangeRequest>): Open {
    const own = [...this.#open].filter((other) => other.peer.id === peer.id);
    if (own.length >= maxStreamsPerMember) {
      own[0]?.end(new RefusedPeer('tooMany', 'a later stream of the same member took its place'));
    } else if (this.#open.size >= maxStreams) {
      throw new RefusedPeer('tooMany', `${maxStreams} streams are open`);
    }
    const open = { peer, end: (error: EtlError) => frames.end(error) };
    this.#open.add(open);
    if (own.length === 0) this.#parts.onPresence(peer, true);
    return open;
  }

  #ended(open: Open): void {
    this.#open.delete(open);
    if (!this.members.has(open.peer.id)) this.#parts.onPresence(open.peer, false);
  }

  /** Hands the messages on; returns the bytes of their entries. */
  #take({ messages }: ExchangeRequest, peer: PeerIdentity): number {
    if (messages.length > maxFrameMessages) {
      throw new RefusedPeer(
        'malformed',
        `messages: has ${messages.length} items, at most ${maxFrameMessages}`,
      );
    }
    const { id } = this.#parts.self();
    let bytes = 0;
    for (const wire of messages) {
      const message = decodeRaftMessage(wire);
      if (message === undefined) continue;
      if (message.from !== peer.id) {
        throw new RefusedPeer(
          'sender',
          `a message on the stream of member ${peer.id} says it is from ${message.from}`,
        );
      }
      if (message.to !== id) {
        throw new RefusedPeer(
          'receiver',
          `a message for member ${message.to} came to member ${id}; check the peers' addresses`,
        );
      }
      if (message.type === 'appendEntries')
        for (const { data } of message.entries) bytes += data.length;
      this.#parts.receive(message);
    }
    return bytes;
  }
}

/** Items of an iterable, until that or someone else ends it. For one reader. */
export class InterruptibleReader<Item> {
  readonly #iterator: AsyncIterator<Item>;
  #failure: EtlError | undefined;
  #reject: ((error: EtlError) => void) | undefined;

  constructor(items: AsyncIterable<Item>) {
    this.#iterator = items[Symbol.asyncIterator]();
  }

  /** The next item; undefined at the end. Rejects once {@link end} was called. */
  async next(): Promise<Item | undefined> {
    if (this.#failure !== undefined) throw this.#failure;
    const result = await new Promise<IteratorResult<Item>>((resolve, reject) => {
      this.#reject = reject;
      this.#iterator.next().then(resolve, reject);
    });
    return result.done === true ? undefined : result.value;
  }

  end(error: EtlError): void {
    this.#failure ??= error;
    this.#reject?.(this.#failure);
  }
}
