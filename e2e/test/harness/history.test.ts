// What is claimed of the order of things fails where the order is another one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  assertJoined,
  assertLeft,
  assertRolled,
  departuresOf,
  type Moment,
} from '../../harness/history.ts';
import type { Pod } from '../../harness/router-cluster.ts';

interface Said {
  readonly leader?: string;
  /** Name → role. */
  readonly members?: { readonly [name: string]: 'learner' | 'voter' };
  /** Such as `a1`, `a1!` for one that was told to end, `a1?` for one that is not ready. */
  readonly pods?: string;
}

function moment({ leader, members = {}, pods = '' }: Said): Moment {
  const words = pods.split(' ').filter((word) => word !== '');
  return {
    status: {
      ...(leader === undefined ? {} : { leader: { name: leader } }),
      members: Object.entries(members).map(([name, role]) => ({
        name,
        role,
        memberID: `${name}1`,
      })),
    },
    pods: new Map(words.map((word) => [word.charAt(0), podOf(word)])),
  };
}

function podOf(word: string): Pod {
  const status = word.endsWith('?') ? 'False' : 'True';
  return {
    metadata: {
      name: word.charAt(0),
      uid: word.slice(0, 2),
      ...(word.endsWith('!') ? { deletionTimestamp: 'now' } : {}),
    },
    spec: { containers: [] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status }] },
  };
}

const moments = (...all: readonly Said[]): readonly Moment[] => all.map(moment);

test('a pod departs when it is told to end or is another one, and once', () => {
  const seen = moments({ pods: 'a1 b1' }, { pods: 'a1! b1' }, { pods: 'b1' }, { pods: 'a2 b2' });
  assert.deepEqual(
    departuresOf(seen).map(({ pod }) => pod),
    ['a', 'b'],
  );
});

test('a member that joins is a learner first', () => {
  const learner = { members: { a: 'learner' } } as const;
  const voter = { members: { a: 'voter' } } as const;
  assertJoined(moments({}, learner, learner, voter), ['a']);
  assert.throws(() => assertJoined(moments({}, voter), ['a']));
  assert.throws(() => assertJoined(moments(learner), ['a']));
  assert.throws(() => assertJoined(moments({}), ['a']));
});

test('a member leaves before its pod does, and no other pod goes', () => {
  const both = { members: { a: 'voter', b: 'voter' }, pods: 'a1 b1' } as const;
  const gone = { members: { a: 'voter' }, pods: 'a1 b1' } as const;
  assertLeft(moments(both, gone, { ...gone, pods: 'a1 b1!' }), ['b']);
  assert.throws(() => assertLeft(moments(both, { ...both, pods: 'a1 b1!' }, gone), ['b']));
  assert.throws(() => assertLeft(moments(both, gone), ['b']));
  assert.throws(() => assertLeft(moments(both, { ...gone, pods: 'a1! b1!' }), ['b']));
});

test('a roll takes one pod after the other, and who led last', () => {
  const roll: readonly Said[] = [
    { leader: 'a', pods: 'a1 b1 c1' },
    { leader: 'a', pods: 'a1 b1! c1' },
    { leader: 'a', pods: 'a1 b2? c1' },
    { leader: 'a', pods: 'a1 b2 c1' },
    { leader: 'a', pods: 'a1 b2 c1!' },
    { leader: 'a', pods: 'a1 b2 c2' },
    { leader: 'b', pods: 'a1 b2 c2' },
    { leader: 'b', pods: 'a1! b2 c2' },
    { leader: 'b', pods: 'a2 b2 c2' },
  ];
  const names = ['a', 'b', 'c'];
  assertRolled(moments(...roll), names);
  const changed = (at: number, said: Said): readonly Moment[] => moments(...roll.with(at, said));
  assert.throws(() => assertRolled(moments(...roll.slice(0, 7)), names), /once/);
  assert.throws(
    () => assertRolled(changed(1, { leader: 'b', pods: 'a1 b1! c1' }), names),
    /handed/,
  );
  assert.throws(
    () => assertRolled(changed(4, { leader: 'a', pods: 'a1 b2? c1!' }), names),
    /ready/,
  );
  assert.throws(() => assertRolled(changed(4, { leader: 'b', pods: 'a1 b2 c1!' }), names), /last/);
});
