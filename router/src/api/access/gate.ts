// The gate in front of HTTP: whoever comes shows a bearer token, and is let through to look or to change as the
// authority says. The answer to a browser of another origin is the same as to anybody: no header ever invites one.

import type { IncomingMessage } from 'node:http';
import { EtlError } from '@etl-router/core';
import type { Authority, Caller, Verb } from './access.ts';

/** Longest token that is looked at; those of service accounts take about 1,200 characters. */
export const tokenMaxLength = 16_384;

const bearer = /^Bearer +([\w.~+/-]+=*)$/i;

export class Gate {
  readonly #authority: Authority;

  constructor(authority: Authority) {
    this.#authority = authority;
  }

  /** Who asks. Throws ETL_UNAUTHENTICATED, or ETL_UNAVAILABLE while nobody can say. */
  async callerOf(request: IncomingMessage): Promise<Caller> {
    const { authorization } = request.headers;
    if (authorization === undefined) {
      throw new EtlError(
        'ETL_UNAUTHENTICATED',
        'this needs a bearer token; `kubectl create token <service account>` makes one',
      );
    }
    const token = bearer.exec(authorization)?.[1];
    if (token === undefined || token.length > tokenMaxLength)
      throw new EtlError('ETL_UNAUTHENTICATED', 'authorization: needs "Bearer <token>"');
    const caller = await this.#authority.authenticate(token);
    if (caller !== undefined) return caller;
    throw new EtlError('ETL_UNAUTHENTICATED', 'the token is not valid here, or no longer');
  }

  /** Throws ETL_PERMISSION_DENIED for what the caller may not do. */
  async check(caller: Caller, verb: Verb): Promise<void> {
    if (await this.#authority.allows(caller, verb)) return;
    throw new EtlError(
      'ETL_PERMISSION_DENIED',
      `${caller.name} may not ${verb} etlrouterclusters/graphql of this cluster; a Role that allows it and a RoleBinding are needed`,
    );
  }
}
