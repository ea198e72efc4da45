import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { GetClusterStatusResponseSchema, MemberRole } from '@etl-router/proto/admin';
import type { MemberWord } from '../../src/cluster/view.ts';
import { toMemberWord } from '../../src/cluster/word.ts';

const members = [
  { name: '1', raftId: 11n, role: MemberRole.LEADER, healthy: true, matchIndex: 90n },
  { name: '2', raftId: 22n, role: MemberRole.FOLLOWER, healthy: false, matchIndex: 0n },
  { name: '3', raftId: 33n, role: MemberRole.LEARNER, healthy: true, matchIndex: 7n },
];

const answerOf = (name: string, raftId: bigint, known = members, leader = '1') =>
  create(GetClusterStatusResponseSchema, {
    ...{ clusterId: 'c', name, leader, raftId, term: 4n, commitIndex: 90n, appliedIndex: 80n },
    ...{ version: '0.2.0', members: known },
  });

const wordOf = (...[name, ...rest]: Parameters<typeof answerOf>): MemberWord => {
  const word = toMemberWord(answerOf(name, ...rest), { ordinal: Number(name), ageMs: 40 });
  assert.ok(word !== undefined);
  return word;
};

test('who leads says how the others do; whoever follows does not know', () => {
  const leader = wordOf('1', 11n);
  assert.equal(leader.role, 'leader');
  assert.deepEqual(leader.members[2], {
    ...{ name: '3', raftId: '33', role: 'learner', healthy: true, matchIndex: 7 },
  });
  const follower = wordOf('2', 22n);
  assert.equal(follower.role, 'follower');
  assert.deepEqual(follower.members[0], {
    ...{ name: '1', raftId: '11', role: 'voter', healthy: undefined, matchIndex: undefined },
  });
  assert.equal(wordOf('3', 33n).role, 'learner');
});

test('a disk that nobody knows waits, also under the name of a member', () => {
  assert.equal(wordOf('2', 99n).role, 'waiting');
  assert.equal(wordOf('2', 99n, []).role, 'waiting');
  assert.equal(wordOf('2', 22n, members, '').leader, undefined);
});

test('what a router says is no word of the one that was asked: an address goes from pod to pod', () => {
  assert.equal(wordOf('2', 22n).ordinal, 2);
  for (const name of ['1', '22', '02', '', 'main-2'])
    assert.equal(toMemberWord(answerOf(name, 22n), { ordinal: 2, ageMs: 40 }), undefined, name);
});
