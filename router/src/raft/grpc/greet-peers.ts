// Asks every peer who it is until it is clear whether this member founds a cluster or joins one.

import { type Clock, type Logger, type Random, toEtlError } from '@etl-router/core';
import { isNobody } from '../../config/parse.ts';
import {
  type BootstrapMember,
  type BootstrapPeer,
  decideBootstrap,
  type Founder,
} from '../bootstrap.ts';
import type { Dialer, Greeting } from './dialer.ts';
import { Pauses } from './pauses.ts';

/** A peer as it was given. */
export interface GivenPeer {
  /** `host:port`. */
  readonly address: string;
  readonly name?: string | undefined;
}

/** `found`: this member founds it, and proposes the others as members. */
export type BootstrapResult =
  | { readonly kind: 'found'; readonly members: readonly Founder[] }
  | { readonly kind: 'join'; readonly clusterId: string };

export interface GreetParts {
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly self: () => Greeting;
  /** The name of a peer is known now; `nobody` is told of too, so that those who hold nothing either do not count on this one. */
  readonly learn: (address: string, name: string) => void;
}

export async function greetPeers(
  given: readonly GivenPeer[],
  parts: GreetParts,
  signal: AbortSignal,
): Promise<BootstrapResult> {
  const pauses = new Pauses(parts.random);
  let reported = '';
  for (;;) {
    const peers = await Promise.all(given.map((peer) => ask(peer, parts, signal)));
    signal.throwIfAborted();
    const self = toMember(parts.self());
    const decision = decideBootstrap(self, peers);
    if (decision.kind === 'join') return decision;
    if (decision.kind === 'found' && decision.proposer === self.name) {
      return { kind: 'found', members: decision.members };
    }
    const why =
      decision.kind === 'wait'
        ? decision.why
        : `member ${decision.proposer} founds the cluster and adds this one`;
    if (why !== reported) parts.logger.info(`waiting for the cluster: ${why}`);
    reported = why;
    await pauses.wait(parts.clock, signal);
    signal.throwIfAborted();
  }
}

async function ask(
  { address, name }: GivenPeer,
  { dialer, learn, logger }: GreetParts,
  signal: AbortSignal,
): Promise<BootstrapPeer> {
  if (isNobody(address)) {
    learn(address, 'nobody');
    return { address, name, answer: undefined };
  }
  try {
    const answer = toMember(await dialer.greet(address, signal));
    if (name === undefined) learn(address, answer.name);
    return { address, name, answer };
  } catch (error) {
    const failure = toEtlError(error);
    logger.debug({ address, err: failure }, 'a peer does not answer');
    // That a member is not there yet is to be expected; anything else is worth telling.
    const why = failure.retryable ? {} : { why: failure.message };
    return { address, name, answer: undefined, ...why };
  }
}

function toMember({ from, peers, initialised }: Greeting): BootstrapMember {
  return { ...from, peers, initialised };
}
