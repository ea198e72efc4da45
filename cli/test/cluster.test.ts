// The commands of the cluster against a router that the test plays: what is asked, and what is made of the answers.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { ManualClock } from '@etl-router/core';
import { load } from 'js-yaml';
import { run } from '../src/program.ts';
import { etlctl, type Ran } from './harness.ts';

interface Asked {
  readonly query: string;
  readonly variables: { readonly [name: string]: unknown };
}

interface Fake {
  readonly server: string;
  readonly asked: Asked[];
}

const member = (name: string, role: string, rest: object = {}) => ({
  name,
  raftId: `90${name}`,
  address: `10.0.0.${name}:50052`,
  grpcAddress: `10.0.0.${name}:50051`,
  httpAddress: name === '4' ? null : `10.0.0.${name}:8080`,
  ...{ role, healthy: true, matchIndex: '120' },
  ...rest,
});

const status = {
  clusterId: 'c-1',
  health: 'DEGRADED',
  nodeId: '1',
  raftId: '901',
  role: 'LEADER',
  leaderId: '1',
  currentTerm: '3',
  commitIndex: '120',
  lastApplied: '119',
  logLength: '100',
  members: [
    member('1', 'LEADER'),
    member('2', 'FOLLOWER', { healthy: false, matchIndex: '80' }),
    member('3', 'FOLLOWER'),
    member('4', 'LEARNER'),
  ],
};

const done = { success: true, message: 'it is so', code: null };

/** Answers every question about the cluster with `clusterStatus`, and every change with `result`. */
async function play(
  t: TestContext,
  answers: { clusterStatus?: object; result?: object } = {},
): Promise<Fake> {
  const { clusterStatus = status, result = done } = answers;
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += String(chunk);
    });
    request.on('end', () => {
      const question = JSON.parse(body) as Asked;
      asked.push(question);
      const field = /\{\s*(\w+)/.exec(question.query)?.[1] as string;
      const data = { [field]: field === 'clusterStatus' ? clusterStatus : result };
      response.end(JSON.stringify({ data }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { server: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

/** As etlctl(), on a terminal where a person types `typed`. */
async function atTerminal(args: readonly string[], typed: string): Promise<Ran> {
  const texts = { out: '', err: '' };
  const code = await run(args, {
    out: (text) => {
      texts.out += text;
    },
    err: (text) => {
      texts.err += text;
    },
    stdin: Object.assign(Readable.from([Buffer.from(typed)]), { isTTY: true }),
    env: {},
    clock: new ManualClock(0),
    isTty: true,
    signal: new AbortController().signal,
  });
  return { code, ...texts };
}

function changesOf({ asked }: Fake): readonly Asked[] {
  return asked.filter(({ query }) => query.startsWith('mutation'));
}

test('the status tells who leads, who is away, and how far the asked one is', async (t) => {
  const { server } = await play(t);
  const { code, out } = await etlctl(['cluster', 'status', '-s', server]);
  assert.equal(code, 0);
  assert.equal(
    out,
    `cluster:   c-1
health:    degraded
leader:    1, gRPC 10.0.0.1:50051, HTTP 10.0.0.1:8080
members:   3 voters, 1 learner, not healthy: 2
asked:     1 (id 901), leader
term:      3
committed: 120
applied:   119
`,
  );
  const json = await etlctl(['cluster', 'status', '-o', 'json', '-s', server]);
  assert.deepEqual(JSON.parse(json.out), status);
  const yaml = await etlctl(['cluster', 'status', '-o', 'yaml', '-s', server]);
  assert.deepEqual(load(yaml.out), status);
});

test('members are a table, a list or their names', async (t) => {
  const { server } = await play(t);
  const { code, out, err } = await etlctl(['cluster', 'members', '-s', server]);
  assert.deepEqual([code, err], [0, '']);
  assert.equal(
    out,
    `NAME   ID    ROLE       HEALTHY   MATCH   RAFT             GRPC             HTTP
1      901   leader     yes       120     10.0.0.1:50052   10.0.0.1:50051   10.0.0.1:8080
2      902   follower   no        80      10.0.0.2:50052   10.0.0.2:50051   10.0.0.2:8080
3      903   follower   yes       120     10.0.0.3:50052   10.0.0.3:50051   10.0.0.3:8080
4      904   learner    yes       120     10.0.0.4:50052   10.0.0.4:50051   -
`,
  );
  const names = await etlctl(['cluster', 'members', '-o', 'name', '-s', server]);
  assert.equal(names.out, '1\n2\n3\n4\n');
  const { kind, items } = JSON.parse(
    (await etlctl(['cluster', 'members', '-o', 'json', '-s', server])).out,
  ) as { kind: string; items: object[] };
  assert.deepEqual([kind, items], ['List', status.members]);
});

test('a router that does not lead shows nothing that it does not know', async (t) => {
  const unknown = { healthy: null, matchIndex: null };
  const { server } = await play(t, {
    clusterStatus: {
      ...status,
      members: [member('1', 'LEADER', unknown), member('2', 'FOLLOWER')],
    },
  });
  const { out, err } = await etlctl(['cluster', 'members', '-s', server]);
  assert.match(out, /\n1 {6}901 {3}leader {5}- {9}- {7}10\.0\.0\.1:50052 {3}/);
  assert.equal(err, 'Only the leader knows how the others are; --server 10.0.0.1:8080 asks it.\n');
});

test('without a leader nobody is pointed to', async (t) => {
  const members = [member('1', 'CANDIDATE'), member('2', 'FOLLOWER', { healthy: null })];
  const { server } = await play(t, { clusterStatus: { ...status, leaderId: null, members } });
  const { err } = await etlctl(['cluster', 'members', '-s', server]);
  assert.equal(err, 'No leader is known, and nobody else knows how the others are.\n');
});

test('a member that waits to be added says how', async (t) => {
  const waiting = { ...status, nodeId: '5', raftId: '905', leaderId: null, members: [] };
  const { server } = await play(t, { clusterStatus: waiting });
  const { err } = await etlctl(['cluster', 'status', '-s', server]);
  assert.match(
    err,
    /^This member waits .* etlctl cluster add 5 <its Raft address> --raft-id 905\.\n$/,
  );
});

test('a router that was removed does not speak for the cluster', async (t) => {
  const lost = { health: 'UNHEALTHY', role: 'FOLLOWER', leaderId: null };
  const removed = { ...status, ...lost, nodeId: '5', raftId: '905' };
  const { server } = await play(t, { clusterStatus: removed });
  const { code, out, err } = await etlctl(['cluster', 'status', '-s', server]);
  assert.equal(code, 0);
  assert.match(
    out,
    /^router 5 \(id 905\) is no member of cluster c-1: it was removed, or is not added yet\ncluster: {3}c-1\nhealth: {4}unknown\nleader: {4}not known here\n/,
  );
  assert.equal(
    err,
    'Ask a member how the cluster is: --server 10.0.0.1:8080 asks 1. What was removed can be stopped.\n',
  );
});

test('a member is added by name, address and Raft id', async (t) => {
  const fake = await play(t);
  const args = ['cluster', 'add', '5', '10.0.0.5:50052', '--raft-id', '905'];
  const { code, out } = await etlctl([...args, '-s', fake.server]);
  assert.deepEqual([code, out], [0, 'it is so\n']);
  assert.deepEqual(changesOf(fake), [
    {
      query:
        'mutation ($name: ID!, $raftId: UInt64!, $address: String!) { addLearner(name: $name, raftId: $raftId, address: $address) { success message code } }',
      variables: { name: '5', raftId: '905', address: '10.0.0.5:50052' },
    },
  ]);
});

test('members are named by name first, then by Raft id', async (t) => {
  const fake = await play(t);
  const at = ['-s', fake.server];
  await etlctl(['cluster', 'promote', '4', '--replaces', '902', ...at]);
  await etlctl(['cluster', 'promote', '904', ...at]);
  await etlctl(['cluster', 'transfer', '3', ...at]);
  await etlctl(['cluster', 'transfer', ...at]);
  await etlctl(['cluster', 'remove', '2', '--force', '--yes', ...at]);
  assert.deepEqual(
    changesOf(fake).map(({ variables }) => variables),
    [
      { raftId: '904', replacesRaftId: '902' },
      { raftId: '904', replacesRaftId: null },
      { toRaftId: '903' },
      { toRaftId: null },
      { raftId: '902', force: true },
    ],
  );
  const { code, err } = await etlctl(['cluster', 'promote', 'four', ...at]);
  assert.equal(code, 4);
  assert.match(err, /there is no member "four"; there are 1, 2, 3, 4/);
});

test('a member is named by its pod, where one host is called so', async (t) => {
  const at = (host: string) => `${host}.main-peers.shop.svc:50052`;
  const members = status.members.map((member) => ({
    ...member,
    address: at(`main-${member.name}`),
  }));
  const pods = await play(t, { clusterStatus: { ...status, members } });
  await etlctl(['cluster', 'transfer', 'main-3', '-s', pods.server]);
  assert.deepEqual(
    changesOf(pods).map(({ variables }) => variables),
    [{ toRaftId: '903' }],
  );

  const alike = members.map((member) => ({ ...member, address: at('main-3') }));
  const { server } = await play(t, { clusterStatus: { ...status, members: alike } });
  const { code, err } = await etlctl(['cluster', 'transfer', 'main-3', '-s', server]);
  assert.equal(code, 4);
  assert.match(err, /there is no member "main-3"; there are 1, 2, 3, 4/);
});

test('a member is removed once somebody said yes', async (t) => {
  const fake = await play(t);
  const remove = ['cluster', 'remove', '2', '-s', fake.server];
  const script = await etlctl(remove, 'yes\n');
  assert.equal(script.code, 2);
  assert.match(script.err, /Remove member 2 \(id 902\) for good\? Nobody can be asked.*--yes/);
  for (const answer of ['n\n', '\n', '', 'yesterday\n']) {
    const { code, err } = await atTerminal(remove, answer);
    assert.equal(code, 1, answer);
    assert.match(err, /^Remove member 2 \(id 902\) for good\? \[y\/N\] error: nothing was done\n$/);
  }
  assert.deepEqual(changesOf(fake), []);
  assert.equal((await atTerminal(remove, 'y\n')).code, 0);
  assert.equal((await atTerminal([...remove, '-y'], '')).code, 0);
  assert.equal(changesOf(fake).length, 2);
});

test('what the leader refuses ends with the exit code of its reason', async (t) => {
  for (const [code, exit] of [
    ['ETL_UNSAFE', 3],
    ['ETL_NOT_FOUND', 4],
    ['ETL_CONFLICT', 5],
    ['ETL_NOT_LEADER', 1],
    ['ETL_UNSUPPORTED', 2],
  ] as const) {
    const refusal = { success: false, message: 'member 2 can not go', code };
    const { server } = await play(t, { result: refusal });
    const ran = await etlctl(['cluster', 'remove', '2', '--yes', '-o', 'json', '-s', server]);
    const { ok, error } = JSON.parse(ran.out) as { ok: boolean; error: object };
    assert.deepEqual(
      [ran.code, ok, error],
      [exit, false, { code, message: 'member 2 can not go' }],
    );
  }
});
