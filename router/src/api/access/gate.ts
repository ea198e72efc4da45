// The gate in front of HTTP: whoever comes shows a bearer token, and is let through to look or to change as the
// authority says. The answer to a browser of another origin is the same as to anybody: no header ever invites one.

import type { IncomingMessage } from 'node:http';
import { type Cancel, type Clock, EtlError, isEtlError } from '@etl-router/core';
import type { Authority, Caller, Verb } from './access.ts';

/** Longest token that is looked at; those of service accounts take about 1,200 characters. */
export const tokenMaxLength = 16_384;

/** How often it is asked whether somebody who listens for long still may, in milliseconds. */
export const recheckMs = 60_000;

const bearer = /^Bearer +([\w.~+/-]+=*)$/i;
const verbs: readonly Verb[] = ['get', 'update'];

export class Gate {
  readonly #authority: Authority;

  constructor(authority: Authority) {
    this.#authority = authority;
  }

  /** Who asks. Throws ETL_UNAUTHENTICATED, or ETL_UNAVAILABLE while nobody can say. */
  async callerOf(request: Pick<IncomingMessage, 'headers' | 'headersDistinct'>): Promise<Caller> {
    const { authorization } = request.headers;
    if (authorization === undefined) {
      throw new EtlError(
        'ETL_UNAUTHENTICATED',
        'this needs a bearer token; `kubectl create token <service account>` makes one',
      );
    }
    const token = bearer.exec(authorization)?.[1];
    const isOne = request.headersDistinct['authorization']?.length === 1;
    if (!isOne || token === undefined || token.length > tokenMaxLength)
      throw new EtlError('ETL_UNAUTHENTICATED', 'authorization: needs one "Bearer <token>"');
    const caller = await this.#authority.authenticate(token);
    if (caller !== undefined) return caller;
    throw new EtlError('ETL_UNAUTHENTICATED', 'the token is not valid here, or no longer');
  }

  /** Throws ETL_PERMISSION_DENIED for what the caller may not do. */
  async check(caller: Caller, verb: Verb): Promise<void> {
    if (!(await this.#authority.allows(caller, verb))) throw denied(caller, verb);
  }

  /**
   * Throws ETL_PERMISSION_DENIED for a caller who may do nothing at all here. Asks for all at once: what the caller wants
   * in particular is known then.
   */
  async checkAny(caller: Caller): Promise<void> {
    const rights = verbs.map((verb) => this.#authority.allows(caller, verb));
    const outcomes = await Promise.allSettled(rights);
    if (outcomes.some((outcome) => outcome.status === 'fulfilled' && outcome.value)) return;
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    throw denied(caller, 'get');
  }

  /**
   * Tells `end` when a caller who listens for long has lost the right to it, or the token its validity. While nobody can
   * say, the caller listens on.
   */
  watch(
    request: Pick<IncomingMessage, 'headers' | 'headersDistinct'>,
    clock: Clock,
    end: () => void,
  ): Cancel {
    let cancel: Cancel | undefined;
    let isOver = false;
    const again = (): void => {
      cancel = clock.after(recheckMs, () => void look());
    };
    const look = async (): Promise<void> => {
      try {
        await this.check(await this.callerOf(request), 'get');
      } catch (error) {
        if (!isEtlError(error) || error.code !== 'ETL_UNAVAILABLE') {
          if (!isOver) end();
          return;
        }
      }
      if (!isOver) again();
    };
    again();
    return () => {
      isOver = true;
      cancel?.();
    };
  }
}

function denied({ name }: Caller, verb: Verb): EtlError {
  return new EtlError(
    'ETL_PERMISSION_DENIED',
    `${name} may not ${verb} etlrouterclusters/graphql of this cluster; a Role that allows it and a RoleBinding are needed`,
  );
}
