// The network between members: delays, loses, repeats, reorders and cuts. Links are one-way, so that a cut may be too.

import { type EtlError, type Random, toEtlError } from '@etl-router/core';
import { abandoned } from '../src/consensus/aborted.ts';
import type { ProposalOptions, Proposed } from '../src/consensus/consensus.ts';
import { unknownOutcome, withOutcome } from '../src/consensus/outcome.ts';
import type { Forwarder } from '../src/raft/forwarding.ts';
import type { Message } from '../src/raft/messages.ts';
import type { RaftReceiver, RaftTransport, SnapshotShipment } from '../src/raft/transport.ts';
import type { Kernel, Process } from './kernel.ts';
import type { Profile } from './profile.ts';

/** Where messages arrive: the process of a member, while it has one. */
export interface Station {
  readonly process: Process | undefined;
  readonly receiver: RaftReceiver | undefined;
  /** Copies a snapshot from another member's disk; resolves whether it is durable here. */
  takeSnapshot(shipment: SnapshotShipment, from: number, done: (taken: boolean) => void): void;
}

export interface NetworkParts {
  readonly kernel: Kernel;
  readonly profile: Profile;
  readonly random: Random;
  readonly station: (id: number) => Station | undefined;
  /** Before a command is handed over. */
  readonly onForward: () => void;
  /** Before a message leaves. */
  readonly onSend: (message: Message) => void;
  readonly onReceive: (message: Message) => void;
}

/** What became of a command that was handed over. */
type Forwarded = { readonly done: Proposed } | { readonly failed: EtlError };

/** How long a command that was handed over may take. */
const forwardMs = 5000;

export class Network {
  readonly #parts: NetworkParts;
  readonly #cuts = new Set<string>();
  readonly #lastArrival = new Map<string, number>();
  readonly #sockets = new WeakMap<Process, Message[]>();
  #isFaulty = true;
  messages = 0;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
  }

  /** The transport of one process. What comes from a process that ended arrives all the same. */
  transportOf(process: Process): RaftTransport {
    return {
      send: (messages) => {
        if (!process.isAlive) return;
        for (const message of messages) this.#send(message);
      },
      sendSnapshot: (shipment) => this.#ship(process, shipment),
      contacts: [],
      setPeers() {
        // Everyone can be reached by number.
      },
      close: () => Promise.resolve(),
    };
  }

  /** Hands commands of one process over; what is lost on the way back is not known. */
  forwarderOf(process: Process): Forwarder {
    return {
      forward: (to, command, options) => {
        return new Promise((resolve, reject) => {
          const settle = (act: () => void): void => {
            this.#parts.kernel.after(this.#delayMs(), process, act);
          };
          this.#forward({ from: process.member, to }, command, options, (answer) => {
            settle(() => ('done' in answer ? resolve(answer.done) : reject(answer.failed)));
          });
        });
      },
      // Everyone can be reached by number.
      follow: () => undefined,
    };
  }

  /** Nothing is cut. */
  get isWhole(): boolean {
    return this.#cuts.size === 0;
  }

  cut(from: number, to: number): void {
    this.#cuts.add(`${from} ${to}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** From here on the network only delays. */
  calm(): void {
    this.heal();
    this.#isFaulty = false;
  }

  #isLost(from: number, to: number): boolean {
    const { random, profile } = this.#parts;
    const isLost = this.#isFaulty && random.next() < profile.loss;
    return isLost || this.#cuts.has(`${from} ${to}`);
  }

  #send(message: Message): void {
    const { random, profile, station, onSend, kernel } = this.#parts;
    onSend(message);
    this.messages++;
    const { from, to } = message;
    if (this.#isLost(from, to)) {
      // A connection that broke tells, one that only swallows does not.
      if (random.below(4) === 0) {
        const sender = station(from);
        kernel.after(this.#delayMs(), sender?.process, () => sender?.receiver?.unreachable(to));
      }
      return;
    }
    this.#deliver(message);
    if (this.#isFaulty && random.next() < profile.duplication) this.#deliver(message);
  }

  #deliver(message: Message): void {
    const { kernel, profile } = this.#parts;
    const link = `${message.from} ${message.to}`;
    let atMs = kernel.nowMs + this.#delayMs();
    if (!(profile.isReordered && this.#isFaulty)) {
      atMs = Math.max(atMs, this.#lastArrival.get(link) ?? 0);
      this.#lastArrival.set(link, atMs);
    }
    kernel.after(atMs - kernel.nowMs, undefined, () => {
      const { process } = this.#parts.station(message.to) ?? {};
      if (process !== undefined && !this.#cuts.has(link)) this.#gather(message, process);
    });
  }

  /** It lies in the socket until the process reads everything there is. */
  #gather(message: Message, process: Process): void {
    const { kernel, profile, station, onReceive } = this.#parts;
    const waiting = this.#sockets.get(process);
    if (waiting !== undefined) {
      waiting.push(message);
      return;
    }
    const socket = [message];
    this.#sockets.set(process, socket);
    kernel.after(profile.gatherMs, process, () => {
      this.#sockets.delete(process);
      for (const each of socket) {
        onReceive(each);
        station(each.to)?.receiver?.receive(each);
      }
    });
  }

  #forward(
    { from, to }: { readonly from: number; readonly to: number },
    command: Uint8Array,
    { signal, frees }: ProposalOptions,
    answer: (answer: Forwarded) => void,
  ): void {
    const { kernel, station, random, onForward } = this.#parts;
    onForward();
    const fail = (failed: EtlError): void => answer({ failed });
    if (signal?.aborted === true) return fail(withOutcome(abandoned(signal), 'refused'));
    // A connection that is known to be cut takes nothing; one that only swallows does not tell.
    if (this.#isLost(from, to) && random.below(2) === 0)
      return fail(withOutcome(unknownOutcome(`member ${to} is not reached`), 'refused'));
    const late = (): void => fail(unknownOutcome(`member ${to} does not answer`));
    kernel.after(forwardMs, undefined, late);
    signal?.addEventListener('abort', () => fail(withOutcome(abandoned(signal), 'unknown')), {
      once: true,
    });
    if (this.#isLost(from, to)) return;
    kernel.after(this.#delayMs(), undefined, () => {
      const { process, receiver } = station(to) ?? {};
      if (process === undefined || receiver === undefined) return;
      kernel.after(0, process, () => {
        const back = (result: Forwarded): void => {
          if (process.isAlive && !this.#isLost(to, from)) answer(result);
        };
        receiver.propose(command.slice(), { frees }).then(
          (done) => back({ done }),
          (error: unknown) => back({ failed: toEtlError(error) }),
        );
      });
    });
  }

  #ship(process: Process, shipment: SnapshotShipment): void {
    const { kernel, station } = this.#parts;
    const [from, { to }] = [process.member, shipment];
    const answer = (arrived: boolean): void => {
      kernel.after(this.#delayMs(), process, () =>
        station(from)?.receiver?.snapshotSent(to, arrived),
      );
    };
    if (this.#isLost(from, to)) return answer(false);
    kernel.after(this.#delayMs() * 3, undefined, () => {
      const target = station(to);
      if (target === undefined || this.#isLost(from, to)) return answer(false);
      target.takeSnapshot(shipment, from, (taken) => answer(taken && !this.#isLost(to, from)));
    });
  }

  #delayMs(): number {
    const { random, profile } = this.#parts;
    return profile.delayMs - Math.log(1 - random.next()) * profile.jitterMs;
  }
}
