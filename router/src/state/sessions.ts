// Client sessions: a request that is retried under its id applies once and is answered as it was the first time. Each
// session keeps its last answers; a client must not have more requests open than that.

import { create, toBinary } from '@bufbuild/protobuf';
import {
  type CommandResult,
  CommandResultSchema,
  type ExpireSession,
  type KeepSession,
  type OpenSession,
  OpenSessionResultSchema,
  type Proposal,
  type StoredRequest,
  StoredRequestSchema,
  type StoredSession,
  StoredSessionSchema,
} from '@etl-router/proto';
import { hash64 } from './hash.ts';
import { maxRequestsPerSession, maxRows } from './limits.ts';
import { checkId, checkText, checkTtl, invalid } from './names.ts';
import { checkRoom, conflict, done, notFound, type Outcome } from './refusal.ts';
import { joinKey } from './table.ts';
import type { Context } from './tables.ts';

export function openSession(context: Context, command: OpenSession): Outcome {
  const { sessions } = context.tables;
  checkText('client', command.client);
  checkTtl('ttl_ms', command.ttlMs);
  checkId('uid', context.uid);
  if (sessions.get(context.uid) !== undefined)
    throw conflict(`session ${context.uid} is open already`);
  checkRoom('sessions', sessions.size, maxRows.sessions);
  sessions.put(
    context.uid,
    create(StoredSessionSchema, {
      sessionId: context.uid,
      client: command.client,
      ttlMs: command.ttlMs,
      openedAtNs: context.nowNs,
      lastSeenAtNs: context.nowNs,
    }),
  );
  const value = create(OpenSessionResultSchema, { sessionId: context.uid });
  return { case: 'openSession', value };
}

export function keepSession(context: Context, command: KeepSession): Outcome {
  see(context, existingSession(context, command.sessionId), 0n);
  return done;
}

export function expireSession(context: Context, command: ExpireSession): Outcome {
  const { sessions, requests } = context.tables;
  const session = existingSession(context, command.sessionId);
  if (command.lastSeenAtNs !== 0n && session.lastSeenAtNs > command.lastSeenAtNs) {
    throw conflict(`session ${session.sessionId} was used since`);
  }
  sessions.delete(session.sessionId);
  for (const key of requests.group(session.sessionId)) requests.delete(key);
  return done;
}

/**
 * What the request was answered before; undefined when it is new. Throws ETL_CONFLICT when another command came
 * under the same id, ETL_NOT_FOUND when the session is gone and with it the memory of its requests.
 */
export function earlierAnswer(context: Context, proposal: Proposal): Uint8Array | undefined {
  checkId('request_id', proposal.requestId);
  const session = existingSession(context, proposal.sessionId);
  const row = context.tables.requests.get(joinKey(session.sessionId, proposal.requestId));
  if (row === undefined) return undefined;
  if (row.commandHash !== hash64(proposal.command)) {
    throw conflict(
      `request ${proposal.requestId} of session ${session.sessionId} was another command; use a new request id`,
    );
  }
  return row.result;
}

/** Keeps the answer of a request, and forgets the oldest one where there are too many. */
export function keepAnswer(context: Context, proposal: Proposal, result: CommandResult): void {
  const { sessions, requests } = context.tables;
  const session = sessions.get(proposal.sessionId);
  if (session === undefined) return;
  const { sessionId } = session;
  requests.put(
    joinKey(sessionId, proposal.requestId),
    create(StoredRequestSchema, {
      sessionId,
      requestId: proposal.requestId,
      ordinal: session.requests,
      commandHash: hash64(proposal.command),
      result: toBinary(CommandResultSchema, result),
    }),
  );
  see(context, session, 1n);
  if (requests.groupSize(sessionId) > maxRequestsPerSession) forgetOldest(context, session);
}

function forgetOldest(context: Context, { sessionId }: StoredSession): void {
  const { requests } = context.tables;
  let oldest: StoredRequest | undefined;
  for (const row of requests.groupRows(sessionId)) {
    if (oldest === undefined || row.ordinal < oldest.ordinal) oldest = row;
  }
  if (oldest !== undefined) requests.delete(joinKey(sessionId, oldest.requestId));
}

function see(context: Context, session: StoredSession, requests: bigint): void {
  context.tables.sessions.put(session.sessionId, {
    ...session,
    lastSeenAtNs: context.nowNs,
    requests: session.requests + requests,
  });
}

function existingSession(context: Context, sessionId: string): StoredSession {
  if (sessionId === '') throw invalid('session_id', 'is required');
  const session = context.tables.sessions.get(sessionId);
  if (session === undefined) throw notFound('session', sessionId);
  return session;
}
