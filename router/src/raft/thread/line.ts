// Calls between two threads of one process, in both directions over one port. All that is said in a turn goes in one
// message, in the order it was said. Nothing is ever lost or repeated here, so what does not fit is a bug and asserted.

import { assert, type EtlError } from '@etl-router/core';
import {
  fromCause,
  fromWireError,
  toCause,
  toWireError,
  type WireCause,
  type WireError,
} from './wire-error.ts';

/** The end of a port: that of a worker, of its parent, or of a channel. */
export interface Port {
  postMessage(value: unknown, transfer: readonly ArrayBuffer[]): void;
  on(event: 'message', listener: (frames: readonly Frame[]) => void): unknown;
}

/** What one side does for the other, by name. */
export type Served = {
  readonly [name: string]: (input: never, signal: AbortSignal) => Promise<unknown>;
};

/** What one side hears from the other without an answer, by name. */
export type Heard = { readonly [name: string]: (value: never) => void };

type Frame =
  | { readonly kind: 'call'; readonly id: number; readonly name: string; readonly input: unknown }
  | { readonly kind: 'cancel'; readonly id: number; readonly reason: WireCause }
  | { readonly kind: 'answer'; readonly id: number; readonly output: unknown }
  | { readonly kind: 'refusal'; readonly id: number; readonly error: WireError }
  | { readonly kind: 'word'; readonly name: string; readonly value: unknown };

export interface CallOptions {
  /** Aborts the signal of the one who serves, whose answer ends the call all the same. */
  readonly signal?: AbortSignal | undefined;
  /** Buffers of the input that are handed over. */
  readonly transfer?: readonly ArrayBuffer[];
}

export interface LineOptions<Mine extends Served, HeardHere extends Heard> {
  readonly port: Port;
  readonly serves: Mine;
  readonly hears: HeardHere;
  /** Called before a message leaves: a word that is to be heard before everything else in it. */
  readonly preface?: () => { readonly name: string; readonly value: unknown } | undefined;
}

interface Waiting {
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: EtlError) => void;
}

/** One end. `Theirs` is what the other side serves, `HeardThere` what it hears. */
export class Line<Theirs extends Served, HeardThere extends Heard> {
  readonly #options: LineOptions<Served, Heard>;
  readonly #waiting = new Map<number, Waiting>();
  readonly #serving = new Map<number, AbortController>();
  #frames: Frame[] = [];
  #transfer: ArrayBuffer[] = [];
  #isFlushDue = false;
  #lastId = 0;
  #ended: EtlError | undefined;

  constructor(options: LineOptions<Served, Heard>) {
    this.#options = options;
    options.port.on('message', (frames) => {
      for (const frame of frames) this.#receive(frame);
    });
  }

  /** Resolves with the other side's answer, or rejects with its error. */
  call<Name extends keyof Theirs & string>(
    name: Name,
    input: Parameters<Theirs[Name]>[0],
    { signal, transfer = [] }: CallOptions = {},
  ): ReturnType<Theirs[Name]> {
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      const id = ++this.#lastId;
      const onAbort = (): void =>
        this.#say({ kind: 'cancel', id, reason: toCause(signal?.reason) });
      const settle = (): void => {
        this.#waiting.delete(id);
        signal?.removeEventListener('abort', onAbort);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.set(id, {
        resolve: (output) => {
          settle();
          resolve(output);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      this.#say({ kind: 'call', id, name, input }, transfer);
    });
    return answer as ReturnType<Theirs[Name]>;
  }

  /** Says something that is not answered. */
  tell<Name extends keyof HeardThere & string>(
    name: Name,
    value: Parameters<HeardThere[Name]>[0],
    transfer: readonly ArrayBuffer[] = [],
  ): void {
    this.#say({ kind: 'word', name, value }, transfer);
  }

  /** Like {@link tell}, with the next message that leaves anyway. */
  tellAlong<Name extends keyof HeardThere & string>(
    name: Name,
    value: Parameters<HeardThere[Name]>[0],
  ): void {
    if (this.#ended === undefined) this.#frames.push({ kind: 'word', name, value });
  }

  /** There may be a preface to send. */
  nudge(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => {
      this.#isFlushDue = false;
      this.#flush();
    });
  }

  /** The other side is gone: calls in both directions end, and nothing is said any more. */
  end(error: EtlError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    for (const { reject } of [...this.#waiting.values()]) reject(error);
    for (const controller of this.#serving.values()) controller.abort(error);
    this.#frames = [];
    this.#transfer = [];
  }

  #say(frame: Frame, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#ended !== undefined) return;
    this.#frames.push(frame);
    this.#transfer.push(...transfer);
    this.nudge();
  }

  #flush(): void {
    if (this.#ended !== undefined) return;
    const preface = this.#options.preface?.();
    if (preface !== undefined) this.#frames.unshift({ kind: 'word', ...preface });
    if (this.#frames.length === 0) return;
    const [frames, transfer] = [this.#frames, this.#transfer];
    this.#frames = [];
    this.#transfer = [];
    this.#options.port.postMessage(frames, transfer);
  }

  #receive(frame: Frame): void {
    if (this.#ended !== undefined) return;
    if (frame.kind === 'call') void this.#serve(frame.id, frame.name, frame.input);
    else if (frame.kind === 'cancel') this.#serving.get(frame.id)?.abort(fromCause(frame.reason));
    else if (frame.kind === 'answer') this.#waiting.get(frame.id)?.resolve(frame.output);
    else if (frame.kind === 'refusal')
      this.#waiting.get(frame.id)?.reject(fromWireError(frame.error));
    else {
      const hear = this.#options.hears[frame.name];
      assert(hear !== undefined, `nobody hears ${frame.name}`);
      hear(frame.value as never);
    }
  }

  async #serve(id: number, name: string, input: unknown): Promise<void> {
    const serve = this.#options.serves[name];
    assert(serve !== undefined, `nobody serves ${name}`);
    const controller = new AbortController();
    this.#serving.set(id, controller);
    try {
      const output = await serve(input as never, controller.signal);
      this.#say({ kind: 'answer', id, output });
    } catch (error) {
      this.#say({ kind: 'refusal', id, error: toWireError(error) });
    }
    this.#serving.delete(id);
  }
}
