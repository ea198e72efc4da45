// Who leads and where clients reach it, as errors tell those that asked another member.

import { EtlError, isEtlError } from '@etl-router/core';
import { outcomeOf } from '../consensus/outcome.ts';
import type { ServerConsensus } from './cluster.ts';

type Hint = { readonly [detail: string]: string | number };

/** `leader` (its Raft id), `leaderName`, `grpcAddress` and `httpAddress`, as far as they are known. */
export function leaderHint(consensus: ServerConsensus): Hint {
  const { leaderId, contacts } = consensus.status();
  if (leaderId === undefined) return {};
  const member = consensus.membership.members.find(({ id }) => id === leaderId);
  const { grpcAddress, httpAddress } = contacts.find(({ id }) => id === leaderId) ?? {};
  return {
    leader: leaderId,
    ...(member && { leaderName: member.name }),
    ...(grpcAddress !== undefined && { grpcAddress }),
    ...(httpAddress !== undefined && { httpAddress }),
  };
}

/** Throws ETL_NOT_LEADER with the hint, or ETL_UNAVAILABLE while none is known. `ask` is what to ask the leader for. */
export function checkLeads(consensus: ServerConsensus, ask: string): void {
  const { role, leaderId } = consensus.status();
  if (role === 'leader') return;
  if (leaderId === undefined) {
    throw new EtlError('ETL_UNAVAILABLE', 'no leader is known; try again in a moment', {
      retryable: true,
    });
  }
  const hint = leaderHint(consensus);
  const { leaderName = '', grpcAddress } = hint;
  const at = grpcAddress === undefined ? '' : ` at ${grpcAddress}`;
  throw new EtlError(
    'ETL_NOT_LEADER',
    `member ${leaderName} (id ${leaderId}) leads${at}; ask it to ${ask}`,
    { details: hint },
  );
}

/** An error of a command that nobody took, with the hint in its details. Others stay as they are. */
export function withHint(error: unknown, consensus: ServerConsensus): unknown {
  if (!isEtlError(error) || outcomeOf(error) !== 'refused') return error;
  if (error.code !== 'ETL_NOT_LEADER' && error.code !== 'ETL_UNAVAILABLE') return error;
  const { code, message, retryable, details, cause } = error;
  return new EtlError(code, message, {
    retryable,
    details: { ...details, ...leaderHint(consensus) },
    ...(cause === undefined ? {} : { cause }),
  });
}
