// Changes of members over a restart: whoever holds a change knows that the one before it is committed.

import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from '../../src/storage/log-types.ts';
import { encodeChange } from './member.ts';
import { one, says } from './says.ts';

const enter = { steps: [2, 3, 4, 5].map((id) => step(id)), autoLeave: true };
const leave = { steps: [], autoLeave: false };

function step(id: number): { readonly step: 'addVoter' | 'remove'; readonly id: number } {
  return { step: id > 3 ? 'addVoter' : 'remove', id };
}

test('4.3: two changes that came in one append do not bring back the members before them', () => {
  const member = one(3);
  const entries = [enter, leave].map(
    (change, at): Entry => ({
      index: at + 1,
      term: 1,
      type: 'configuration',
      data: encodeChange(change),
    }),
  );
  const log = { previousIndex: 0, previousTerm: 0, entries, commitIndex: 1 } as const;
  member.isApplyHeld = true;
  member.raft.step(says({ from: 2, to: 1, term: 1 }, { type: 'appendEntries', ...log }));
  member.drain();
  member.restart();
  // It knows the first to be committed, so it does not ask the members of old for their votes.
  equal(member.log.hardState.commit, 1);
  for (let tick = 0; tick < 40; tick++) member.raft.tick();
  deepEqual(member.raft.ready().messages, []);
});
