import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError, isEtlError } from '@etl-router/core';
import fc from 'fast-check';
import { Members } from '../../src/server/members.ts';
import { FakeCluster, peerOf } from './fake-cluster.ts';

function make(
  voters = 3,
  learners = 0,
): { readonly cluster: FakeCluster; readonly members: Members } {
  const cluster = new FakeCluster(voters, learners);
  return { cluster, members: new Members({ consensus: cluster, isNetworked: true }) };
}

function rolesOf(members: Members): readonly string[] {
  return members.list().map(({ id, role }) => `${id} ${role}`);
}

test('the leader lists who belongs to the cluster, how far they are, and whether they are heard of', () => {
  const { cluster, members } = make(2, 1);
  cluster.away.add(2);
  cluster.match.set(3, 4000);
  assert.deepEqual(members.list(), [
    { ...peerOf(1), role: 'leader', healthy: true, matchIndex: 5000 },
    { ...peerOf(2), role: 'voter', healthy: false, matchIndex: 5000 },
    { ...peerOf(3), role: 'learner', healthy: true, matchIndex: 4000 },
  ]);
});

test('another member says of the others only what it knows', () => {
  const { cluster, members } = make();
  cluster.leaderId = 2;
  assert.deepEqual(
    members.list().map(({ role, healthy, matchIndex }) => [role, healthy, matchIndex]),
    [
      ['voter', true, 5000],
      ['leader', undefined, undefined],
      ['voter', undefined, undefined],
    ],
  );
  cluster.leaderId = undefined;
  assert.equal(members.list()[0]?.healthy, false, 'without a leader it is not healthy itself');
});

test('the cluster is degraded while a member is away or behind', () => {
  const { cluster, members } = make(2, 1);
  assert.equal(members.health(), 'healthy');
  cluster.away.add(2);
  assert.equal(members.health(), 'degraded');
  cluster.away.clear();
  cluster.match.set(3, 3999);
  assert.equal(members.health(), 'degraded');
  cluster.leaderId = 2;
  assert.equal(members.health(), 'unknown');
  cluster.leaderId = undefined;
  assert.equal(members.health(), 'unhealthy');
});

test('no change is made where another member leads, and it is named', async () => {
  const { cluster, members } = make();
  cluster.leaderId = 2;
  const calls = [
    () => members.addLearner(peerOf(4)),
    () => members.promote(3),
    () => members.remove(3),
    () => members.transfer(),
  ];
  for (const call of calls) {
    await assert.rejects(call, {
      code: 'ETL_NOT_LEADER',
      message: 'member node-2 (id 2) leads; ask it to change the members',
      details: { leader: 2, leaderName: 'node-2' },
    });
  }
  cluster.leaderId = undefined;
  for (const call of calls)
    await assert.rejects(call, { code: 'ETL_UNAVAILABLE', retryable: true });
  assert.deepEqual(cluster.changes, []);
});

test('a learner is added once, however often that is asked for', async () => {
  const { cluster, members } = make();
  await members.addLearner(peerOf(4));
  const again = await members.addLearner(peerOf(4));
  assert.equal(cluster.changes.length, 1);
  assert.deepEqual(rolesOf(members), ['1 leader', '2 voter', '3 voter', '4 learner']);
  assert.deepEqual(again, members.list());
  await members.addLearner(peerOf(2));
  assert.equal(cluster.changes.length, 1, 'a voter stays one');
});

test('a learner with the id, name or address of another one is refused', async () => {
  const { cluster, members } = make();
  for (const [peer, field] of [
    [{ ...peerOf(4), id: 2 }, 'id'],
    [{ ...peerOf(4), name: 'node-2' }, 'name'],
    [{ ...peerOf(4), address: '10.0.0.2:50052' }, 'address'],
  ] as const) {
    await assert.rejects(members.addLearner(peer), {
      code: 'ETL_CONFLICT',
      message: new RegExp(
        `^member node-2 \\(id 2\\) at 10\\.0\\.0\\.2:50052 has that ${field} already; `,
      ),
    });
  }
  assert.deepEqual(cluster.changes, []);
});

test('a learner that nobody could reach is refused before it is in the log', async () => {
  const { cluster, members } = make();
  for (const [wrong, message] of [
    [{ name: '../x' }, /^name: "\.\.\/x" is no name of a member, .*--node-id/],
    [{ name: '' }, /^name: "" is no name/],
    [{ name: `n${'1'.repeat(64)}` }, /^name: /],
    [
      { address: 'nowhere' },
      /^address: "nowhere" is not where member node-4 is reached; .*host:port/,
    ],
    [{ address: '10.0.0.4:99999' }, /^address: .*port/],
    [{ address: '10.0.0.4:0' }, /^address: .*the port that others dial/],
    [{ address: '0.0.0.0:50052' }, /^address: .*that others can dial/],
    [{ address: '::1:50052' }, /^address: .*IPv6 needs brackets/],
  ] as const) {
    await assert.rejects(members.addLearner({ ...peerOf(4), ...wrong }), {
      code: 'ETL_INVALID_ARGUMENT',
      message,
    });
  }
  assert.deepEqual(cluster.changes, []);
});

test('a member that is added under another address has moved there, and keeps its role', async () => {
  const { cluster, members } = make(2, 1);
  for (const id of [1, 2, 3]) await members.addLearner({ ...peerOf(id), address: `host-${id}:1` });
  assert.equal(cluster.changes.length, 3);
  assert.deepEqual(
    members.list().map(({ address, role }) => [address, role]),
    [
      ['host-1:1', 'leader'],
      ['host-2:1', 'voter'],
      ['host-3:1', 'learner'],
    ],
  );
  await assert.rejects(members.addLearner({ ...peerOf(2), address: 'host-1:1' }), {
    code: 'ETL_CONFLICT',
    message: /^member node-1 \(id 1\) at host-1:1 has that address already; /,
  });
});

test('an id that was removed does not come back', async () => {
  const { members } = make();
  await members.remove(3);
  await assert.rejects(members.addLearner(peerOf(3)), {
    code: 'ETL_INVALID_ARGUMENT',
    message:
      /^member node-3 \(id 3\): members: member 3 was removed; a member that comes back has a new data directory and id/,
  });
});

test('a router that was started alone adds nobody, and says how it could', async () => {
  const members = new Members({ consensus: new FakeCluster(1), isNetworked: false });
  await assert.rejects(members.addLearner(peerOf(2)), {
    code: 'ETL_UNSUPPORTED',
    message: /^member node-2 can not be added: .* start it with --peers/,
  });
  assert.deepEqual(rolesOf(members), ['1 leader']);
});

test('a learner is promoted when it lacks at most a thousand entries', async () => {
  const { cluster, members } = make(3, 1);
  cluster.match.set(4, 3999);
  await assert.rejects(members.promote(4), {
    code: 'ETL_UNSAFE',
    message: 'member node-4 (id 4) holds entry 3999 of 5000; promote it when it lacks at most 1000',
  });
  cluster.match.set(4, 4000);
  cluster.away.add(4);
  await assert.rejects(members.promote(4), {
    code: 'ETL_UNSAFE',
    message: /^member node-4 \(id 4\) is not heard of; /,
  });
  cluster.away.clear();
  await members.promote(4);
  await members.promote(4);
  assert.equal(cluster.changes.length, 1);
  assert.deepEqual(rolesOf(members), ['1 leader', '2 voter', '3 voter', '4 voter']);
});

test('a learner takes the place of a voter in one change', async () => {
  const { cluster, members } = make(3, 1);
  cluster.away.add(2);
  await members.promote(4, { replaces: 2 });
  assert.deepEqual(cluster.changes, [
    {
      autoLeave: true,
      steps: [
        { step: 'addVoter', ...peerOf(4) },
        { step: 'remove', ...peerOf(2) },
      ],
    },
  ]);
  assert.deepEqual(rolesOf(members), ['1 leader', '3 voter', '4 voter']);
  await members.promote(4, { replaces: 2 });
  assert.equal(cluster.changes.length, 1, 'again: it is so already');
});

test('a promotion that makes no sense names who is wrong in it', async () => {
  const { cluster, members } = make(3, 2);
  for (const [call, code, message] of [
    [
      () => members.promote(9),
      'ETL_NOT_FOUND',
      /^member with id 9 does not belong .* node-5 \(id 5\)$/,
    ],
    [() => members.promote(4, { replaces: 9 }), 'ETL_NOT_FOUND', /^member with id 9 /],
    [
      () => members.promote(4, { replaces: 4 }),
      'ETL_INVALID_ARGUMENT',
      /^member node-4 \(id 4\) can not replace itself/,
    ],
    [
      () => members.promote(4, { replaces: 5 }),
      'ETL_INVALID_ARGUMENT',
      /^member node-5 \(id 5\) is a learner/,
    ],
    [
      () => members.promote(2, { replaces: 3 }),
      'ETL_INVALID_ARGUMENT',
      /^member node-2 \(id 2\) votes already/,
    ],
  ] as const) {
    await assert.rejects(call, { code, message });
  }
  assert.deepEqual(cluster.changes, []);
});

test('nobody goes whom a healthy majority needs, unless by force', async () => {
  const { cluster, members } = make();
  cluster.away.add(3);
  await assert.rejects(members.remove(2), {
    code: 'ETL_UNSAFE',
    message:
      'member node-2 (id 2) can not go: 2 voters would be left, 2 must be healthy, and member node-3 (id 3) is not; bring back or remove first who is not, or use force',
  });
  assert.deepEqual(cluster.changes, []);
  await members.remove(2, { force: true });
  assert.deepEqual(rolesOf(members), ['1 leader', '3 voter']);
});

test('the one that is away is removed, once, and learners always', async () => {
  const { cluster, members } = make(3, 1);
  cluster.away.add(3);
  cluster.away.add(2);
  await members.remove(4);
  cluster.away.delete(2);
  await members.remove(3);
  await members.remove(3);
  assert.equal(cluster.changes.length, 2);
  assert.deepEqual(rolesOf(members), ['1 leader', '2 voter']);
  await assert.rejects(members.remove(9), { code: 'ETL_NOT_FOUND' });
});

test('the last voter stays, even by force', async () => {
  const { cluster, members } = make(1, 1);
  await assert.rejects(members.remove(1, { force: true }), {
    code: 'ETL_UNSAFE',
    message: /^member node-1 \(id 1\) is the last voter/,
  });
  assert.deepEqual(cluster.changes, []);
});

test('no removal leaves less than a healthy majority', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 7 }),
      fc.uniqueArray(fc.integer({ min: 2, max: 7 })),
      fc.integer({ min: 1, max: 7 }),
      async (voters, away, id) => {
        fc.pre(id <= voters);
        const { cluster, members } = make(voters);
        for (const other of away) cluster.away.add(other);
        const left = Array.from({ length: voters }, (_, at) => at + 1).filter(
          (each) => each !== id,
        );
        const healthy = left.filter((each) => !away.includes(each));
        const allowed = left.length > 0 && healthy.length * 2 > left.length;
        const done = await members.remove(id).then(
          () => true,
          (error: unknown) => {
            assert.ok(isEtlError(error) && error.code === 'ETL_UNSAFE');
            return false;
          },
        );
        assert.equal(done, allowed);
      },
    ),
  );
});

test('while a joint change goes on no other begins', async () => {
  const { cluster, members } = make(3);
  const { configuration } = cluster.membership;
  const joint = { ...configuration, voters: [1, 2], outgoing: [1, 2, 3] };
  cluster.membership = { ...cluster.membership, configuration: joint };
  await assert.rejects(members.addLearner(peerOf(4)), {
    code: 'ETL_CONFLICT',
    retryable: true,
    message: /^member node-4 \(id 4\): another change of members is under way/,
  });
});

test('leadership goes to whom it is given, or to the healthy voter that is furthest', async () => {
  const { cluster, members } = make(4, 1);
  assert.equal(await members.transfer(1), 'node-1', 'it leads already');
  assert.deepEqual(cluster.transfers, []);
  cluster.match.set(2, 4990);
  cluster.match.set(3, 4999);
  cluster.away.add(4);
  assert.equal(await members.transfer(), 'node-3');
  cluster.leaderId = 1;
  assert.equal(await members.transfer(2), 'node-2');
  assert.deepEqual(cluster.transfers, [3, 2]);
});

test('leadership is not given to whom could not take it', async () => {
  const { cluster, members } = make(2, 1);
  cluster.away.add(2);
  await assert.rejects(members.transfer(3), {
    code: 'ETL_UNSAFE',
    message: /^member node-3 \(id 3\) is a learner/,
  });
  await assert.rejects(members.transfer(2), {
    code: 'ETL_UNSAFE',
    message: /^member node-2 \(id 2\) is not heard of/,
  });
  await assert.rejects(members.transfer(7), { code: 'ETL_NOT_FOUND' });
  await assert.rejects(members.transfer(), {
    code: 'ETL_UNSAFE',
    message: /^member node-1 has no other voter/,
  });
  assert.deepEqual(cluster.transfers, []);
});

test('what consensus refuses is told with the name of the member', async () => {
  const { cluster, members } = make();
  const refusal = new EtlError('ETL_UNAVAILABLE', 'nobody took over', {
    retryable: true,
    details: { why: 1 },
  });
  cluster.transferTo = () => Promise.reject(refusal);
  cluster.changeMembers = () => Promise.reject(refusal);
  for (const call of [members.transfer(2), members.remove(2)]) {
    await assert.rejects(call, {
      code: 'ETL_UNAVAILABLE',
      message: 'member node-2 (id 2): nobody took over',
      retryable: true,
      details: { why: 1 },
    });
  }
});
