// Commands on their way to the member that leads, one call each over a connection of their own, and the commands that
// come that way. Whatever goes wrong says what became of the command: what was not sent is refused, what was sent and
// not answered is unknown, and all else is in the other member's own words.

import { type Clock, EtlError, toEtlError } from '@etl-router/core';
import type { CallContext } from '@etl-router/proto/grpc';
import type { ProposeRequest } from '@etl-router/proto/raft';
import { abandoned, untilAborted } from '../../consensus/aborted.ts';
import type { ProposalOptions, Proposed } from '../../consensus/consensus.ts';
import { outcomeOf, unknownOutcome, withOutcome } from '../../consensus/outcome.ts';
import type { Forwarder } from '../forwarding.ts';
import type { Peer, RaftReceiver } from '../transport.ts';
import type { Dialer, RaftClient } from './dialer.ts';
import { encodeIdentity, type PeerIdentity } from './identity.ts';

/** How long a command may take, once it was sent. */
const deadlineMs = 5000;
/** A member that could not be reached is not dialled again before, however many commands wait for it. */
const redialMs = 100;
/**
 * How grpc-js words that nobody was asked: there was no connection, it was hung up before the call began, or the stream was
 * refused before anything was made of it (RFC 9113 §8.7).
 */
const notSent =
  /^(No connection established|Channel has been shut down|Channel closed before call started|Stream refused by server)/;

export interface ForwarderParts {
  readonly dialer: Dialer;
  readonly self: () => PeerIdentity;
  readonly peerOf: (id: number) => Peer | undefined;
  readonly onError: (error: EtlError) => void;
  readonly clock: Clock;
}

/** A connection to a member, shared by all commands for it. */
interface Line {
  readonly peer: Peer;
  readonly client: Promise<RaftClient>;
}

export class GrpcForwarder implements Forwarder {
  readonly #parts: ForwarderParts;
  readonly #lines = new Map<number, Line>();
  readonly #over = new AbortController();

  constructor(parts: ForwarderParts) {
    this.#parts = parts;
  }

  async forward(
    to: number,
    command: Uint8Array,
    { signal, frees = false }: ProposalOptions,
  ): Promise<Proposed> {
    const line = this.#lineTo(to);
    const client = await reached(line, signal);
    const from = encodeIdentity(this.#parts.self());
    const request = { from, command: Uint8Array.from(command), frees };
    try {
      const options = signal === undefined ? { deadlineMs } : { deadlineMs, signal };
      const { index, term, result } = await client.propose(request, options);
      return { index: Number(index), term: Number(term), result };
    } catch (error) {
      if (signal?.aborted === true) throw withOutcome(abandoned(signal), 'unknown');
      const failure = toEtlError(error);
      if (outcomeOf(failure) !== undefined) throw failure;
      this.#hangUp(line);
      throw sayOutcome(failure, line.peer);
    }
  }

  /**
   * Keeps a connection to the leader alone, and none of an earlier leadership: whoever leads again may have started anew
   * at another address, and only a new dial resolves its name. What is under way on the others is still answered.
   */
  follow(leader: number): void {
    this.dropOthers(({ id }) => id === leader);
  }

  /** Ends the connections to whom `stays` is false for. */
  dropOthers(stays: (peer: Peer) => boolean): void {
    for (const line of [...this.#lines.values()]) if (!stays(line.peer)) this.#hangUp(line);
  }

  close(): void {
    this.#over.abort();
    this.dropOthers(() => false);
  }

  #lineTo(id: number): Line {
    const { dialer, peerOf, onError, clock } = this.#parts;
    const known = this.#lines.get(id);
    if (known !== undefined) return known;
    const peer = peerOf(id);
    if (peer === undefined || this.#over.signal.aborted) {
      throw new EtlError('ETL_UNAVAILABLE', `member ${id} leads, and is not known here yet`, {
        details: { outcome: 'refused' },
      });
    }
    const line = { peer, client: dialer.connect(peer, this.#over.signal) };
    this.#lines.set(id, line);
    line.client.catch((error: unknown) => {
      onError(toEtlError(error));
      // Until then whoever asks for the line is given this one, and with it its error.
      clock.after(redialMs, () => this.#hangUp(line));
    });
    return line;
  }

  #hangUp(line: Line): void {
    if (this.#lines.get(line.peer.id) === line) this.#lines.delete(line.peer.id);
    line.client.then(
      (client) => client.close(),
      () => undefined,
    );
  }
}

/** The client of a line. Nothing was sent where it throws. */
async function reached(
  { peer, client }: Line,
  signal: AbortSignal | undefined,
): Promise<RaftClient> {
  try {
    return await untilAborted(client, signal, () => undefined);
  } catch (error) {
    if (signal?.aborted === true) throw withOutcome(error, 'refused');
    throw unreached(peer, toEtlError(error));
  }
}

function unreached({ name, id }: Peer, cause: EtlError): EtlError {
  return new EtlError(
    'ETL_UNAVAILABLE',
    `member ${name} (id ${id}) leads, and can not be reached from here: ${cause.message}`,
    { retryable: true, details: { outcome: 'refused' }, cause },
  );
}

/** What a call came to that ended without a word of the other member's on the command. */
function sayOutcome(failure: EtlError, peer: Peer): EtlError {
  const { name, id } = peer;
  // It knows no such call: a release of before.
  if (failure.code === 'ETL_UNSUPPORTED') return withOutcome(failure, 'refused');
  if (notSent.test(failure.message)) return unreached(peer, failure);
  return unknownOutcome(
    `member ${name} (id ${id}) was given the command and has not answered (${failure.message})`,
    failure,
  );
}

/** The handler of the call Propose. */
export async function takeProposal(
  { from, command, frees }: ProposeRequest,
  context: CallContext,
  {
    admit,
    receiver,
  }: {
    readonly admit: (from: ProposeRequest['from'], context: CallContext) => PeerIdentity;
    readonly receiver: () => Pick<RaftReceiver, 'propose'>;
  },
): Promise<{ index: bigint; term: bigint; result: Uint8Array<ArrayBuffer> }> {
  let taker: Pick<RaftReceiver, 'propose'>;
  try {
    admit(from, context);
    taker = receiver();
  } catch (error) {
    throw withOutcome(error, 'refused');
  }
  const { index, term, result } = await taker.propose(command, { signal: context.signal, frees });
  return { index: BigInt(index), term: BigInt(term), result: Uint8Array.from(result) };
}
