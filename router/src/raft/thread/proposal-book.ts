// Proposals of the main thread that wait for their answers, bounded in number and bytes. Those of one turn go in one
// message. An answer comes with the entry that is applied here; the log's thread tells only of what came to nothing.

import { EtlError } from '@etl-router/core';
import type { ProposalOptions, Proposed } from '../../consensus/consensus.ts';
import type { Line } from './line.ts';
import { pack } from './packed.ts';
import type { LogCalls, LogWords } from './protocol.ts';
import { toCause } from './wire-error.ts';

interface Proposal {
  readonly id: number;
  readonly command: Uint8Array;
  readonly frees: boolean;
  readonly isAbortable: boolean;
  readonly resolve: (answer: Proposed) => void;
  readonly reject: (error: EtlError) => void;
}

/** As many as the log's thread takes. */
const maxCount = 4096;
const maxBytes: number = 64 * 1024 * 1024;

export class ProposalBook {
  readonly #line: Line<LogCalls, LogWords>;
  readonly #waiting = new Map<number, Proposal>();
  #queued: Proposal[] = [];
  #bytes = 0;
  #lastId = 0;

  constructor(line: Line<LogCalls, LogWords>) {
    this.#line = line;
  }

  get count(): number {
    return this.#waiting.size;
  }

  /** Throws ETL_LIMIT_EXCEEDED while too many wait. */
  add(command: Uint8Array, { signal, frees = false }: ProposalOptions): Promise<Proposed> {
    this.#checkRoom(command.length);
    this.#bytes += command.length;
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      // The log's thread knows what became of it, and refuses it at once.
      const onAbort = (): void => {
        this.send();
        this.#line.tell('abandon', { id, reason: toCause(signal?.reason) });
      };
      const settle = (): void => signal?.removeEventListener('abort', onAbort);
      const proposal: Proposal = {
        id,
        command,
        frees,
        isAbortable: signal !== undefined,
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.set(id, proposal);
      this.#queue(proposal);
    });
  }

  /** Sends what is queued. */
  send(): void {
    const queued = this.#queued;
    this.#queued = [];
    if (queued.length === 0) return;
    const commands = pack(queued.map(({ command }) => command));
    this.#line.tell(
      'propose',
      {
        ids: queued.map(({ id }) => id),
        freeing: idsOf(queued, ({ frees }) => frees),
        abortable: idsOf(queued, ({ isAbortable }) => isAbortable),
        commands,
      },
      [commands.bytes.buffer],
    );
  }

  answer(id: number, answer: Proposed): void {
    this.#take(id)?.resolve(answer);
  }

  refuse(id: number, error: EtlError): void {
    this.#take(id)?.reject(error);
  }

  rejectAll(error: EtlError): void {
    this.#queued = [];
    for (const id of [...this.#waiting.keys()]) this.refuse(id, error);
  }

  #queue(proposal: Proposal): void {
    this.#queued.push(proposal);
    if (this.#queued.length === 1) queueMicrotask(() => this.send());
  }

  #take(id: number): Proposal | undefined {
    const proposal = this.#waiting.get(id);
    if (proposal === undefined) return undefined;
    this.#waiting.delete(id);
    this.#bytes -= proposal.command.length;
    return proposal;
  }

  #checkRoom(bytes: number): void {
    const full = this.#waiting.size >= maxCount ? `${maxCount} proposals` : undefined;
    const heavy = this.#bytes + bytes > maxBytes ? `${maxBytes} bytes of proposals` : undefined;
    const bound = full ?? heavy;
    if (bound === undefined) return;
    throw new EtlError(
      'ETL_LIMIT_EXCEEDED',
      `${bound} already wait for the log; send again when some are answered`,
      { retryable: true, details: { bound } },
    );
  }
}

function idsOf(proposals: readonly Proposal[], isOne: (proposal: Proposal) => boolean): number[] {
  return proposals.filter(isOne).map(({ id }) => id);
}
