// The first entry of a cluster: who it begins with. Written once, into an empty log, before that member takes part.

import type { Entry, RaftLog } from '../storage/log-types.ts';
import { encodeMembershipChange } from './membership.ts';
import type { Peer } from './transport.ts';

/** Writes it unless the log has begun. It is committed by being the first: nobody else writes one. */
export async function writeFounders(log: RaftLog, founders: readonly Peer[]): Promise<void> {
  if (founders.length === 0 || log.lastIndex > 0 || log.hardState.term > 0) return;
  const steps = founders.map((founder) => ({ step: 'addVoter', ...founder }) as const);
  const data = encodeMembershipChange({ steps, autoLeave: false });
  const entries: readonly Entry[] = [{ index: 1, term: 1, type: 'configuration', data }];
  await new Promise<void>((resolve, reject) => {
    log.append({ hardState: { term: 1, vote: 0, commit: 1 }, entries }, (error) =>
      error === undefined ? resolve() : reject(error),
    );
  });
}
