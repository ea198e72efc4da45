// The one way from the server's objects into the log: stamps a command, waits until it is applied, and turns a
// refusal back into the error it was. Nothing is sent twice unless it applies once.

import type { Clock, Random } from '@etl-router/core';
import { EtlError, isEtlError, toEtlError } from '@etl-router/core';
import type { CommandResult } from '@etl-router/proto';
import { outcomeOf } from '../consensus/outcome.ts';
import {
  acceptedResult,
  type CommandBody,
  encodeProposal,
  type ProposalStamps,
} from '../state/proposal.ts';
import type { ServerConsensus } from './cluster.ts';
import { withHint } from './leader-hint.ts';
import { nsOfMs } from './numbers.ts';

export interface ProposeOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Makes a repeat of the request apply once. Without a session the id is remembered among the latest 1,000 such
   * requests of the cluster; use ids that nobody else uses, such as a UUID.
   */
  readonly request?:
    | { readonly requestId: string; readonly sessionId?: string | undefined }
    | undefined;
}

/** The answer of one case, as a handler gives it. */
export type Answer<Case extends CommandResult['outcome']['case']> =
  Extract<CommandResult['outcome'], { case: Case }> extends { value: infer Value } ? Value : never;

/**
 * What makes the state smaller or stops work, and what that needs: the session that a repeat of it is remembered in, and
 * the operator's epoch.
 */
const freeing: ReadonlySet<CommandBody['case']> = new Set<CommandBody['case']>([
  'abortRestore',
  'deleteObject',
  'deregisterService',
  'deregisterSidecar',
  'dropGroup',
  'dropLanes',
  'expireSession',
  'leaveGroup',
  'openSession',
  'raiseOperatorEpoch',
  'revokePipeline',
  'setPipelineState',
]);

/** How often a command is sent whose outcome stays unknown; each time waits for a leader. */
const attemptsMax = 3;

/** Session of the requests that name none. */
const sharedSession = 'shared';
const sharedSessionTtlMs = 24 * 60 * 60 * 1000;

/** Proposes commands. */
export class Proposer {
  readonly #log: ServerConsensus;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(parts: {
    readonly log: ServerConsensus;
    readonly clock: Clock;
    readonly random: Random;
  }) {
    this.#log = parts.log;
    this.#clock = parts.clock;
    this.#random = parts.random;
  }

  /** Resolves when the command is applied; throws what it was refused with. */
  async propose(body: CommandBody, options: ProposeOptions = {}): Promise<CommandResult> {
    const { request, signal } = options;
    if (request === undefined) return this.#send(body, undefined, signal);
    if (request.sessionId !== undefined) {
      const { requestId, sessionId } = request;
      return this.#send(body, { requestId, sessionId }, signal);
    }
    const shared = { requestId: request.requestId, sessionId: sharedSession };
    try {
      return await this.#send(body, shared, signal);
    } catch (error) {
      if (!isMissingSession(error)) throw error;
    }
    await this.#openSharedSession(signal);
    return this.#send(body, shared, signal);
  }

  /** Like {@link Proposer.propose}, and takes the answer's one message out. */
  async ask<Case extends NonNullable<CommandResult['outcome']['case']>>(
    expected: Case,
    body: CommandBody,
    options: ProposeOptions = {},
  ): Promise<Answer<Case>> {
    const { outcome } = await this.propose(body, options);
    if (outcome.case === expected) return outcome.value as Answer<Case>;
    throw new EtlError(
      'ETL_INTERNAL',
      `${body.case} was answered with ${outcome.case}, not ${expected}`,
    );
  }

  async #send(
    body: CommandBody,
    request: { readonly requestId: string; readonly sessionId: string } | undefined,
    signal: AbortSignal | undefined,
  ): Promise<CommandResult> {
    return this.#append(body, { uid: mintUid(this.#random), ...(request && { request }) }, signal);
  }

  /** Sends a command again while what became of it is not known, where it takes effect once however often it comes. */
  async #append(
    body: CommandBody,
    stamps: Omit<ProposalStamps, 'proposedAtNs'>,
    signal: AbortSignal | undefined,
  ): Promise<CommandResult> {
    const appliesOnce = stamps.request !== undefined || stamps.uid === sharedSession;
    let unknown: EtlError | undefined;
    for (let attempt = 1; ; attempt++) {
      let result: Uint8Array;
      try {
        const proposedAtNs = nsOfMs(this.#clock.wallMs());
        const command = encodeProposal(body, { proposedAtNs, ...stamps });
        ({ result } = await this.#log.propose(command, { signal, frees: freeing.has(body.case) }));
      } catch (thrown) {
        const error = toEtlError(thrown);
        if (outcomeOf(error) !== 'refused') unknown = error;
        if (unknown === undefined) throw withHint(error, this.#log);
        const isPassing = error.code === 'ETL_UNAVAILABLE' || error.code === 'ETL_NOT_LEADER';
        if (appliesOnce && isPassing && attempt < attemptsMax) continue;
        throw appliesOnce ? repeatable(unknown) : unknown;
      }
      return acceptedResult(result);
    }
  }

  async #openSharedSession(signal: AbortSignal | undefined): Promise<void> {
    const value = { client: 'router', ttlMs: sharedSessionTtlMs };
    try {
      await this.#append({ case: 'openSession', value }, { uid: sharedSession }, signal);
    } catch (error) {
      if (!isEtlError(error) || error.code !== 'ETL_CONFLICT') throw error;
    }
  }
}

/** Whoever sends the request again under its id does no harm. */
function repeatable({ code, message, details, cause }: EtlError): EtlError {
  return new EtlError(code, `${message}; send it again under its request id`, {
    retryable: true,
    details,
    cause,
  });
}

function isMissingSession(error: unknown): boolean {
  return isEtlError(error) && error.code === 'ETL_NOT_FOUND' && error.details['what'] === 'session';
}

/**
 * What a removal is refused with when its subject is not there: as good as done. A session that is not there says
 * nothing of the subject: the command had no effect.
 */
export function isAlreadyGone(error: unknown): boolean {
  return isEtlError(error) && error.code === 'ETL_NOT_FOUND' && !isMissingSession(error);
}

/** A random UUID of version 4. */
function mintUid(random: Random): string {
  const group = (fixed = 0, bits = 16): string =>
    (fixed + random.below(2 ** bits)).toString(16).padStart(4, '0');
  const version = 0x4000;
  const variant = 0x8000;
  return (
    `${group()}${group()}-${group()}-${group(version, 12)}-${group(variant, 14)}` +
    `-${group()}${group()}${group()}`
  );
}
