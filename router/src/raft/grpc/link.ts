// One stream of messages to one member: dialled when there is something to send, dialled again with growing pauses when
// it breaks. While it can not be reached everything to it is dropped, and the owner told: what is old helps nobody.

import { type Clock, EtlError, type Logger, type Random, toEtlError } from '@etl-router/core';
import { EncodedMessage } from '@etl-router/proto/grpc';
import type { ExchangeRequest } from '@etl-router/proto/raft';
import type { Message } from '../messages.ts';
import type { Peer } from '../transport.ts';
import type { Dialer } from './dialer.ts';
import { encodeFrame } from './frame-bytes.ts';
import { encodeIdentity, type PeerIdentity } from './identity.ts';
import { Outbox, type OutboxLimits } from './outbox.ts';
import { Pauses } from './pauses.ts';

/** Frames, and bytes of them, that may be under way beyond what the receiver says it has read. */
const maxFramesAhead = 64;
const maxBytesAhead: number = 4 * 1024 * 1024;

export interface LinkParts {
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly self: () => PeerIdentity;
  /** Messages to the member were lost for certain. */
  readonly onLost: (id: number, count: number) => void;
  readonly onError: (error: EtlError) => void;
}

/** `idle`: nothing was to be sent yet. `paused`: it could not be reached a moment ago. */
export type LinkState = 'idle' | 'dialling' | 'open' | 'paused' | 'closed';

/** What was written and not yet read by the other side. */
interface Ahead {
  frames: number;
  readonly bytes: number[];
}

export class Link {
  readonly peer: Peer;
  readonly #parts: LinkParts;
  readonly #outbox: Outbox;
  readonly #pauses: Pauses;
  readonly #over = new AbortController();
  #state: LinkState = 'idle';
  #pause: AbortController | undefined;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #lastError = '';

  constructor(peer: Peer, limits: OutboxLimits, parts: LinkParts) {
    this.peer = peer;
    this.#parts = parts;
    this.#outbox = new Outbox(limits);
    this.#pauses = new Pauses(parts.random);
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Bytes that wait to be sent. */
  get queuedBytes(): number {
    return this.#outbox.bytes;
  }

  /** Sends a message, or drops it and tells so. Never throws. */
  send(message: Message): void {
    const isDropped =
      this.#state === 'closed' || this.#state === 'paused' || !this.#outbox.push(message);
    if (isDropped) this.#parts.onLost(this.peer.id, 1);
    else this.open();
  }

  /** Dials, if that has not begun. */
  open(): void {
    if (this.#state === 'closed') return;
    this.#running ??= this.#run();
    this.#wake?.();
  }

  /** The member was heard from: a pause before the next attempt makes no sense any more. */
  hurry(): void {
    this.#pause?.abort();
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    this.#over.abort();
    this.#outbox.clear();
    this.#wake?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      this.#state = 'dialling';
      try {
        await this.#exchange(signal);
        this.#lost(new EtlError('ETL_UNAVAILABLE', 'the member ended the stream'));
      } catch (error) {
        if (signal.aborted) break;
        const failure = toEtlError(error);
        this.#parts.onError(failure);
        this.#lost(failure);
      }
      if (signal.aborted) break;
      this.#state = 'paused';
      this.#pause = new AbortController();
      const early = AbortSignal.any([signal, this.#pause.signal]);
      await this.#pauses.wait(this.#parts.clock, early);
    }
    this.#state = 'closed';
  }

  async #exchange(signal: AbortSignal): Promise<void> {
    const client = await this.#parts.dialer.connect(this.peer, signal);
    const over = new AbortController();
    const both = AbortSignal.any([signal, over.signal]);
    const ahead: Ahead = { frames: 0, bytes: [] };
    try {
      let read = 0n;
      for await (const { framesRead } of client.exchange(this.#frames(ahead, both), {
        signal: both,
      })) {
        if (read === 0n) this.#opened();
        for (; read < framesRead && ahead.frames > 0; read++) {
          ahead.frames--;
          ahead.bytes.shift();
        }
        this.#wake?.();
      }
    } finally {
      over.abort();
      this.#wake?.();
      client.close();
    }
  }

  /** The first frame says who sends, and leaves at once: its answer tells that the stream is accepted. */
  async *#frames(
    ahead: Ahead,
    signal: AbortSignal,
  ): AsyncGenerator<EncodedMessage | Pick<ExchangeRequest, 'from' | 'messages'>, void> {
    ahead.frames++;
    ahead.bytes.push(0);
    yield { from: encodeIdentity(this.#parts.self()), messages: [] };
    while (!signal.aborted) {
      if (this.#outbox.length === 0 || isFarAhead(ahead)) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
        continue;
      }
      const { messages, bytes } = this.#outbox.take();
      ahead.frames++;
      ahead.bytes.push(bytes);
      yield new EncodedMessage(encodeFrame(messages));
    }
  }

  #opened(): void {
    this.#state = 'open';
    this.#pauses.reset();
    if (this.#lastError === '') return;
    this.#lastError = '';
    const { id, name, address } = this.peer;
    this.#parts.logger.info({ member: id, name, address }, 'a member is reached again');
  }

  #lost({ message, retryable }: EtlError): void {
    this.#parts.onLost(this.peer.id, this.#outbox.clear());
    // How a member is away is worded in many ways, and all mean one thing; why it refuses is worth telling.
    const kind = retryable ? 'away' : message;
    if (this.#lastError === kind) return;
    this.#lastError = kind;
    const { id, name, address } = this.peer;
    this.#parts.logger.warn({ member: id, name, address }, `a member is not reached: ${message}`);
  }
}

function isFarAhead({ frames, bytes }: Ahead): boolean {
  return frames >= maxFramesAhead || bytes.reduce((sum, frame) => sum + frame, 0) >= maxBytesAhead;
}
