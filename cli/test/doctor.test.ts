// What doctor says of one router at a URL, which the test plays: it is one voice of a cluster, and may be outside of it.

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { productVersion } from '../src/version.ts';
import { etlctl } from './harness.ts';

interface Check {
  readonly name: string;
  readonly level: string;
  readonly message: string;
  readonly advice?: string;
}

type Fields = { readonly [field: string]: unknown };

interface Fake {
  readonly address: string;
  readonly headers: IncomingMessage['headers'][];
}

const member = (id: number, more: Fields = {}): Fields => ({
  name: String(id),
  raftId: `90${id}`,
  address: `127.0.0.1:5${id}`,
  grpcAddress: null,
  httpAddress: null,
  ...{ role: 'FOLLOWER', healthy: null, matchIndex: null },
  ...more,
});

const status = (id: number, members: readonly Fields[], more: Fields = {}): Fields => ({
  clusterId: 'c-1',
  health: 'UNKNOWN',
  nodeId: String(id),
  raftId: `90${id}`,
  role: 'FOLLOWER',
  leaderId: '1',
  currentTerm: '3',
  commitIndex: '120',
  lastApplied: '120',
  logLength: '100',
  members,
  ...more,
});

const lost = { leaderId: null, health: 'UNHEALTHY' };

async function play(t: TestContext, clusterStatus: Fields): Promise<Fake> {
  const headers: IncomingMessage['headers'][] = [];
  const version = { version: productVersion, commit: 'abc', node: 'v24' };
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      headers.push(request.headers);
      response.setHeader('date', new Date(Date.UTC(2026, 0, 1)).toUTCString());
      response.end(JSON.stringify({ data: { clusterStatus, version } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, headers };
}

async function examine(
  server: string,
): Promise<{ code: number; levels: readonly string[]; of: (name: string) => Check }> {
  const { code, out } = await etlctl(['doctor', '-o', 'json', '-s', server]);
  const { checks } = (JSON.parse(out) as { result: { checks: readonly Check[] } }).result;
  const of = (name: string): Check => checks.find((check) => check.name === name) as Check;
  return { code, levels: checks.map(({ level }) => level), of };
}

test('a router that was removed is told of, and nobody is sent to give the cluster up', async (t) => {
  const members = [member(1, { httpAddress: '10.0.0.1:8080' }), member(2)];
  const { address } = await play(t, status(3, members, lost));
  const { code, of } = await examine(address);
  const { level, message, advice = '' } = of('router');
  assert.deepEqual([code, level], [1, 'fail']);
  assert.equal(
    message,
    'router 3 (id 903) is no member of cluster c-1: it was removed, or is not added yet',
  );
  assert.match(
    advice,
    /\(1, 2\), as by etlctl doctor --server http:\/\/10\.0\.0\.1:8080; .* stop it/,
  );
  assert.match(advice, /etlctl cluster add 3 <its Raft address> --raft-id 903/);
  assert.doesNotMatch(advice, /majority/);
});

test('a router that is being added is a warning while it follows a leader', async (t) => {
  const { address } = await play(t, status(3, [member(1), member(2)]));
  const { code, of } = await examine(address);
  assert.deepEqual([code, of('router').level], [0, 'warn']);
});

test('a member that knows no leader speaks for itself, and the others are to be asked first', async (t) => {
  const members = [member(1, { httpAddress: '10.0.0.1:8080' }), member(2), member(3)];
  const { address } = await play(t, status(3, members, lost));
  const { code, of } = await examine(address);
  const { message, advice = '' } = of('router');
  assert.equal(code, 1);
  assert.match(message, /^it knows no leader/);
  assert.match(
    advice,
    /--server http:\/\/10\.0\.0\.1:8080, .* only if none of them knows a leader/,
  );
});

test('a cluster of one that has no leader has nobody else to ask', async (t) => {
  const { address } = await play(t, status(1, [member(1)], lost));
  const { of } = await examine(address);
  assert.equal(of('router').advice, 'wait for some seconds, then see its log');
});

test('a cluster of one has 1 member', async (t) => {
  const { address } = await play(t, status(1, [member(1)], { role: 'LEADER' }));
  const { levels, of } = await examine(address);
  assert.deepEqual(levels, ['ok', 'ok', 'ok']);
  assert.match(of('router').message, /leader in term 3, 1 member, entry 120$/);
});

test('of a follower the leader is asked how the others are', async (t) => {
  const heard = [
    member(1, { role: 'LEADER', healthy: true, matchIndex: '120' }),
    member(2, { healthy: false, matchIndex: '80' }),
    member(3, { healthy: true, matchIndex: '120' }),
  ];
  const leader = await play(t, status(1, heard, { role: 'LEADER', health: 'DEGRADED' }));
  const members = [member(1, { httpAddress: leader.address }), member(2), member(3)];
  const follower = await play(t, status(3, members));
  const { code, of } = await examine(follower.address);
  const { level, message } = of('members');
  assert.deepEqual([code, level], [0, 'warn']);
  assert.equal(message, 'the leader does not hear of 2');
  assert.equal(leader.headers.length, 1);
});

test('a leader that is well, one without an address and one that is away are each said', async (t) => {
  const well = [1, 2].map((id) => member(id, { healthy: true, matchIndex: '120' }));
  const leader = await play(t, status(1, well, { role: 'LEADER', health: 'HEALTHY' }));
  const membersLine = async (httpAddress: string | null): Promise<Check> => {
    const follower = await play(t, status(2, [member(1, { httpAddress }), member(2)]));
    return (await examine(follower.address)).of('members');
  };
  const line = (message: string): Check => ({ name: 'members', level: 'ok', message });
  const unseen = 'not seen from here: only the leader hears how the others are; ask 1';
  assert.deepEqual(
    await membersLine(leader.address),
    line(`1 at http://${leader.address} leads, and hears of all 2`),
  );
  assert.deepEqual(await membersLine(null), line(`${unseen}, which leads`));
  assert.deepEqual(
    await membersLine('127.0.0.1:1'),
    line(`${unseen} by etlctl doctor --server http://127.0.0.1:1`),
  );
});

test('credentials are not shown to the leader that a follower names', async (t) => {
  const leader = await play(t, status(1, [member(1)], { role: 'LEADER' }));
  const members = [member(1, { httpAddress: leader.address }), member(2)];
  const follower = await play(t, status(2, members));
  const { of } = await examine(`http://user:secret@${follower.address}`);
  assert.equal(leader.headers.length, 0);
  assert.match(of('members').message, new RegExp(`--server http://${leader.address}$`));
});
