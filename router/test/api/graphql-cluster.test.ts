// The cluster in GraphQL, over a cluster that the test makes up.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, seededRandom, silentLogger } from '@etl-router/core';
import { createEngine } from '../../src/api/graphql/engine.ts';
import { Router } from '../../src/server/router.ts';
import { StateHost } from '../../src/server/state-host.ts';
import { FakeCluster } from '../server/fake-cluster.ts';

type Ask = (query: string) => Promise<{ readonly [field: string]: unknown }>;

function serve(
  cluster: FakeCluster,
  build: { readonly version: string; readonly commit: string } = { version: '1', commit: 'a' },
): Ask {
  const clock = new ManualClock();
  const router = new Router({
    ...{ host: new StateHost(), consensus: cluster, nodeName: `node-${cluster.nodeId}` },
    ...{ clock, random: seededRandom(1), logger: silentLogger, isNetworked: true },
  });
  const engine = createEngine({ router, clock, version: build }, silentLogger, undefined);
  return async (query) => {
    const response = await engine.fetch('http://router/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = (await response.json()) as { data?: object; errors?: unknown };
    assert.equal(errors, undefined);
    return data as { readonly [field: string]: unknown };
  };
}

const statusText = `{clusterStatus{nodeId raftId role leaderId health
  members{name raftId address role healthy matchIndex}}}`;

test('the status names every member, as far as the one that is asked knows', async () => {
  const cluster = new FakeCluster(2, 1);
  const ask = serve(cluster);
  cluster.away.add(2);
  cluster.match.set(3, 12);
  assert.deepEqual(await ask(statusText), {
    clusterStatus: {
      nodeId: 'node-1',
      raftId: '1',
      role: 'LEADER',
      leaderId: 'node-1',
      health: 'DEGRADED',
      members: [
        row(1, { role: 'LEADER', healthy: true, matchIndex: '5000' }),
        row(2, { role: 'FOLLOWER', healthy: false, matchIndex: '5000' }),
        row(3, { role: 'LEARNER', healthy: true, matchIndex: '12' }),
      ],
    },
  });
  cluster.leaderId = 2;
  assert.deepEqual(await ask(statusText), {
    clusterStatus: {
      nodeId: 'node-1',
      raftId: '1',
      role: 'FOLLOWER',
      leaderId: 'node-2',
      health: 'UNKNOWN',
      members: [
        row(1, { role: 'FOLLOWER', healthy: true, matchIndex: '5000' }),
        row(2, { role: 'LEADER', healthy: null, matchIndex: null }),
        row(3, { role: 'LEARNER', healthy: null, matchIndex: null }),
      ],
    },
  });
});

function row(id: number, rest: object): object {
  return { name: `node-${id}`, raftId: String(id), address: `10.0.0.${id}:50052`, ...rest };
}

test('members are added, promoted, removed and lead by mutations that say what is so now', async () => {
  const cluster = new FakeCluster(3);
  const ask = serve(cluster);
  const told: string[] = [];
  for (const call of [
    'addLearner(name: "node-4", raftId: "4", address: "10.0.0.4:50052")',
    'promoteMember(raftId: 4, replacesRaftId: 3)',
    'removeMember(raftId: 2)',
    'transferLeadership',
  ]) {
    const { answer } = await ask(`mutation{answer:${call}{success message code}}`);
    const { success, message, code } = answer as { [field: string]: unknown };
    assert.deepEqual([success, code], [true, null], String(message));
    told.push(String(message));
  }
  assert.deepEqual(told, [
    'member node-4 (id 4) belongs to the cluster',
    'member node-4 (id 4) votes in the place of the one with id 3',
    'member node-2 (id 2) removed; its data directory is of no use any more',
    'member node-4 leads',
  ]);
  assert.deepEqual(cluster.membership.configuration.voters, [1, 4]);
});

test('a change that is refused is an answer with its code', async () => {
  const cluster = new FakeCluster(3, 1);
  const ask = serve(cluster);
  cluster.away.add(3);
  cluster.match.set(4, 1);
  for (const [call, code, text] of [
    ['addLearner(name: "node-2", raftId: 9, address: "a:1")', 'ETL_CONFLICT', /node-2/],
    ['addLearner(name: "x", raftId: 0, address: "a:1")', 'ETL_INVALID_ARGUMENT', /^raftId: /],
    ['addLearner(name: "x y", raftId: 9, address: "a:1")', 'ETL_INVALID_ARGUMENT', /name/],
    ['addLearner(name: "x", raftId: 9, address: "")', 'ETL_INVALID_ARGUMENT', /address/],
    ['promoteMember(raftId: 4)', 'ETL_UNSAFE', /node-4/],
    ['promoteMember(raftId: "18446744073709551615")', 'ETL_INVALID_ARGUMENT', /raftId/],
    ['removeMember(raftId: 2)', 'ETL_UNSAFE', /node-2/],
    ['removeMember(raftId: 9)', 'ETL_NOT_FOUND', /id 9/],
    ['transferLeadership(toRaftId: 3)', 'ETL_UNSAFE', /node-3/],
  ] as const) {
    const { answer } = await ask(`mutation{answer:${call}{success message code}}`);
    const told = answer as { success: boolean; message: string; code: string };
    assert.deepEqual([told.success, told.code], [false, code], call);
    assert.match(told.message, text);
  }
  assert.deepEqual([cluster.changes, cluster.transfers], [[], []]);
});
