// What etlctl does of a router that does not lead: it asks the one that is named, if that is safe, and says so if not.

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { etlctl } from './harness.ts';

interface Fake {
  readonly address: string;
  readonly headers: IncomingMessage['headers'][];
}

/** A router that leads, or names another one that does. */
async function play(t: TestContext, names?: (own: string) => string): Promise<Fake> {
  const headers: IncomingMessage['headers'][] = [];
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      headers.push(request.headers);
      const details = { leaderName: '2', httpAddress: names?.(address) };
      const error = {
        message: 'member 2 (id 902) leads; ask it to change the members',
        extensions: { code: 'ETL_NOT_LEADER', retryable: true, details },
      };
      const transferLeadership = { success: true, message: 'member 3 leads', code: null };
      response.end(
        JSON.stringify(
          names === undefined
            ? { data: { transferLeadership, objects: [], pipelines: [] } }
            : { data: null, errors: [error] },
        ),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { address, headers };
}

test('a change that only the leader makes is asked of the one that is named', async (t) => {
  const leader = await play(t);
  const follower = await play(t, () => leader.address);
  const { code, out } = await etlctl(['cluster', 'transfer', '-s', follower.address]);
  assert.deepEqual([code, out], [0, 'member 3 leads\n']);
  assert.deepEqual([follower.headers.length, leader.headers.length], [1, 1]);
  const [[first], [second]] = [follower.headers, leader.headers];
  assert.match(String(first?.['x-etl-request-id']), /^[\da-f-]{36}$/);
  assert.equal(second?.['x-etl-request-id'], first?.['x-etl-request-id'], 'it is one request');
});

test('routers that name each other are asked three times, and then it is over', async (t) => {
  const follower = await play(t, (own) => own);
  const { code, err } = await etlctl(['cluster', 'transfer', '-s', follower.address]);
  assert.equal(code, 1);
  assert.equal(follower.headers.length, 3);
  assert.match(err, new RegExp(`leads; ask it .*\\(--server ${follower.address}\\)`));
});

test('credentials go to nobody that they were not given for', async (t) => {
  const leader = await play(t);
  const follower = await play(t, () => leader.address);
  const server = `http://user:secret@${follower.address}`;
  const { code, err } = await etlctl(['cluster', 'transfer', '-s', server]);
  assert.equal(code, 1);
  assert.equal(leader.headers.length, 0);
  assert.match(err, new RegExp(`--server ${leader.address}`));
});

test('a name that is no host and port is not followed', async (t) => {
  for (const name of ['evil/path?', 'user@host:1', 'a:b:c', '', 'host:99999999']) {
    const follower = await play(t, () => name);
    const { code } = await etlctl(['cluster', 'transfer', '-s', follower.address]);
    assert.equal(code, 1, name);
    assert.equal(follower.headers.length, 1, name);
  }
});

test('a leader that can not be reached is named with the router that named it', async (t) => {
  const follower = await play(t, () => '127.0.0.1:1');
  const { code, err } = await etlctl(['cluster', 'transfer', '-s', follower.address]);
  assert.equal(code, 1);
  assert.match(err, /names http:\/\/127\.0\.0\.1:1 as the leader, which can not be reached/);
});

test('a read is linearizable unless a stale one is asked for', async (t) => {
  const router = await play(t);
  const get = ['get', 'sources', '-s', router.address];
  await etlctl(get);
  await etlctl([...get, '--consistency', 'linearizable']);
  await etlctl([...get, '--consistency=stale']);
  assert.deepEqual(
    router.headers.map((headers) => headers['x-etl-consistency']),
    [undefined, undefined, 'stale'],
  );
  const wrong = await etlctl([...get, '--consistency', 'fresh']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /linearizable, stale/);
});
