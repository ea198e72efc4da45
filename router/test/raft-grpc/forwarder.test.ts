// Commands between members over sockets: what arrives, who may send, and what is known when a connection breaks.

import assert from 'node:assert/strict';
import dns, { type LookupAllOptions } from 'node:dns';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { test } from 'node:test';
import { EtlError, isEtlError, toEtlError } from '@etl-router/core';
import { createClient } from '@etl-router/proto/grpc';
import { RaftService } from '@etl-router/proto/raft';
import { ChannelCredentials } from '@grpc/grpc-js';
import { outcomeOf, withOutcome } from '../../src/consensus/outcome.ts';
import { type Member, type Members, withMembers } from './members.ts';
import { identity } from './strangers.ts';

function meet(...members: readonly Member[]): void {
  for (const { transport, peer } of members) {
    transport.setPeers(members.map((other) => other.peer).filter(({ id }) => id !== peer.id));
  }
}

test(
  'commands arrive with all that is said of them, 200 at once over one connection',
  withMembers(async (members) => {
    const [leader, follower] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    meet(leader, follower);
    const seen: string[] = [];
    leader.heard.take = async (command, { frees }) => {
      seen.push(`${Buffer.from(command).toString()} ${frees}`);
      return { index: 7, term: 3, result: Buffer.concat([command, Buffer.from('!')]) };
    };
    const { forwarder } = follower.transport;
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, at) =>
        forwarder.forward(1, Buffer.from(`c${at}`), { frees: at % 2 === 0 }),
      ),
    );
    for (const [at, { index, term, result }] of answers.entries()) {
      assert.deepEqual([index, term, Buffer.from(result).toString()], [7, 3, `c${at}!`]);
    }
    assert.deepEqual(seen.toSorted().slice(0, 2), ['c0 true', 'c1 false']);
  }),
);

test(
  'an error crosses with its code, its details and what became of the command',
  withMembers(async (members) => {
    const [leader, follower] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    meet(leader, follower);
    const { forwarder } = follower.transport;
    const error = new EtlError('ETL_NOT_LEADER', 'member 3 leads', { details: { leader: 3 } });
    leader.heard.take = () => Promise.reject(withOutcome(error, 'refused'));
    await assert.rejects(forwarder.forward(1, Buffer.from('c'), {}), {
      code: 'ETL_NOT_LEADER',
      message: 'member 3 leads',
      retryable: true,
      details: { leader: 3, outcome: 'refused' },
    });
    // A word that says nothing of the command leaves it open.
    leader.heard.take = () => Promise.reject(new EtlError('ETL_CANCELLED', 'it stops'));
    await assert.rejects(forwarder.forward(1, Buffer.from('c'), {}), isUnknown);
  }),
);

test(
  'what was not sent is refused, what was sent and not answered is unknown',
  withMembers(async (members) => {
    const [leader, follower] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    const { forwarder } = follower.transport;
    await assert.rejects(forwarder.forward(1, Buffer.from('c'), {}), isRefused, 'not known yet');
    meet(leader, follower);
    const taken = Promise.withResolvers<void>();
    leader.heard.take = () => {
      taken.resolve();
      return new Promise(() => undefined);
    };
    const lost = assert.rejects(forwarder.forward(1, Buffer.from('c'), {}), isUnknown);
    await taken.promise;
    await leader.transport.close();
    await lost;
    await assert.rejects(forwarder.forward(1, Buffer.from('c'), {}), isRefused, 'it is gone');
  }),
);

test('whoever leads again is looked for by its name anew', async (t) => {
  const run = withMembers(async (members) => {
    let host = '127.0.0.2';
    t.mock.method(dns.promises, 'lookup', async (_name: string, _options: LookupAllOptions) => [
      { address: host, family: 4 },
    ]);
    const before = await members.add({ id: 1, host });
    const port = Number(before.peer.address.split(':').at(-1));
    const follower = await members.add({ id: 2 });
    follower.transport.setPeers([{ id: 1, name: 'm1', address: `m1.test:${port}` }]);
    before.transport.setPeers([follower.peer]);
    const { forwarder } = follower.transport;
    const answer = { index: 7, term: 3, result: Buffer.from('!') };
    before.heard.take = () => Promise.resolve(answer);
    forwarder.follow(1);
    await forwarder.forward(1, Buffer.from('c'), {});

    // What has its address now takes connections and says nothing, as where a pod was.
    await before.transport.close();
    const deaf = createServer().listen(port, host);
    await once(deaf, 'listening');
    members.onClose(async () => void deaf.close());
    host = '127.0.0.3';
    const again = await members.add({ id: 1, host, port });
    again.transport.setPeers([follower.peer]);
    again.heard.take = () => Promise.resolve({ ...answer, index: 9 });
    forwarder.follow(3);
    forwarder.follow(1);
    const { index } = await forwarder.forward(1, Buffer.from('c'), {});
    assert.equal(index, 9);
  });
  await run();
});

test(
  'a command that waits for a connection is refused when another one leads meanwhile, for nothing was sent',
  withMembers(async (members) => {
    const [leader, follower] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    let taken = 0;
    leader.heard.take = async () => {
      taken += 1;
      return { index: 7, term: 3, result: Buffer.from('!') };
    };
    const { forwarder } = follower.transport;
    const slow = await slowWayTo(leader, members);
    follower.transport.setPeers([{ ...leader.peer, address: slow.address }]);
    leader.transport.setPeers([follower.peer]);
    const waits = assert.rejects(forwarder.forward(1, Buffer.from('c'), {}), isRefused);
    await slow.dialled;
    forwarder.follow(0);
    slow.open();
    await waits;
    assert.equal(taken, 0);
    // Once it is there, a call is begun or is not: whoever was not asked never knew.
    for (let turns = 0; turns < 12; turns++) {
      await forwarder.forward(1, Buffer.from('c'), {});
      const before = taken;
      const given = forwarder.forward(1, Buffer.from('c'), {}).catch((error: unknown) => error);
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      forwarder.follow(0);
      const came = await given;
      assert.ok(isRefused(came) ? taken === before : taken === before + 1, String(came));
    }
  }),
);

test(
  'a member that can not be reached is dialled a few times a second, however many commands wait',
  withMembers(async (members) => {
    const follower = await members.add({ id: 2 });
    let dialled = 0;
    const wall = createServer((socket) => {
      dialled += 1;
      socket.destroy();
    });
    wall.listen(0, '127.0.0.1');
    await once(wall, 'listening');
    members.onClose(async () => void wall.close());
    const address = `127.0.0.1:${(wall.address() as AddressInfo).port}`;
    const { forwarder } = follower.transport;
    follower.transport.setPeers([{ id: 1, name: 'm1', address }]);
    const startMs = performance.now();
    for (let commands = 0; commands < 300; commands++)
      await assert.rejects(forwarder.forward(1, Buffer.from('c'), {}), isRefused);
    // The streams to it are dialled as well, with pauses of their own.
    const mostDials = 10 + (performance.now() - startMs) / 30;
    assert(dialled < mostDials, `dialled ${dialled} times, at most ${mostDials}`);
  }),
);

test(
  'a caller that leaves ends its call, and the leader hears of it',
  withMembers(async (members) => {
    const [leader, follower] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    meet(leader, follower);
    const [taken, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    leader.heard.take = (_, { signal }) => {
      signal?.addEventListener('abort', () => left.resolve());
      taken.resolve();
      return new Promise(() => undefined);
    };
    const gone = new AbortController();
    const { forwarder } = follower.transport;
    const waits = forwarder.forward(1, Buffer.from('c'), { signal: gone.signal });
    await taken.promise;
    gone.abort();
    await assert.rejects(waits, (error) => outcomeOf(toEtlError(error)) === 'unknown');
    await left.promise;
  }),
);

test(
  'commands are taken of members of this cluster alone',
  withMembers(async (members) => {
    const leader = await members.add({
      id: 1,
      participation: { isRemoved: (id) => id === 8 },
    });
    const follower = await members.add({ id: 2 });
    meet(leader, follower);
    const address = leader.peer.address;
    const client = createClient(RaftService, address, ChannelCredentials.createInsecure());
    members.onClose(async () => client.close());
    const known = { raftId: 2n, name: 'm2' };
    for (const [from, refusal] of [
      [undefined, 'malformed'],
      [identity({ ...known, clusterId: 'other' }), 'cluster'],
      [identity({ ...known, protocolVersion: 2 }), 'protocolVersion'],
      [identity({ ...known, name: 'm3' }), 'name'],
      [identity({ raftId: 8n }), 'raftId'],
      [identity({ raftId: 9n }), 'raftId'],
    ] as const) {
      const command = Buffer.from('c');
      await assert.rejects(
        client.propose({ ...(from && { from }), command, frees: false }),
        (error) => {
          assert(isEtlError(error));
          assert.deepEqual(error.details, { refusal, outcome: 'refused' });
          return true;
        },
      );
    }
    assert.equal(leader.transport.stats().refused.raftId, 2);
  }),
);

test(
  'members tell each other where their clients find them, when they meet and later',
  withMembers(async (members) => {
    const [a, b] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    a.transport.announce({ grpcAddress: '10.0.0.1:50051', httpAddress: '10.0.0.1:8080' });
    meet(a, b);
    await contact(b, 1, '10.0.0.1:50051');
    b.transport.announce({ grpcAddress: '10.0.0.2:50051' });
    await contact(a, 2, '10.0.0.2:50051');
    a.transport.announce({ grpcAddress: '10.0.0.9:50051', httpAddress: '10.0.0.9:8080' });
    await contact(b, 1, '10.0.0.9:50051');
    assert.deepEqual(b.transport.contacts, [
      { id: 1, grpcAddress: '10.0.0.9:50051', httpAddress: '10.0.0.9:8080' },
      { id: 2, grpcAddress: '10.0.0.2:50051', httpAddress: undefined },
    ]);
    const { contacts } = b.transport;
    assert.equal(b.transport.contacts, contacts, 'the same list while nothing changes');
    b.transport.setPeers([]);
    assert.deepEqual(
      b.transport.contacts.map(({ id }) => id),
      [2],
    );
  }),
);

async function contact({ transport }: Member, id: number, grpcAddress: string): Promise<void> {
  while (transport.contacts.find((each) => each.id === id)?.grpcAddress !== grpcAddress) {
    await new Promise((next) => setImmediate(next));
  }
}

/** Connections to a member that come about when they are let, as where a machine is throttled. */
async function slowWayTo({ peer }: Member, members: Members) {
  const [dialled, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const port = Number(peer.address.split(':').at(-1));
  const way = createServer((socket) => {
    dialled.resolve();
    socket.on('error', () => undefined);
    void opened.promise.then(() => {
      const on = connect(port, '127.0.0.1', () => socket.pipe(on).pipe(socket));
      on.on('error', () => socket.destroy());
    });
  }).listen(0, '127.0.0.1');
  await once(way, 'listening');
  members.onClose(async () => void way.close());
  const address = `127.0.0.1:${(way.address() as AddressInfo).port}`;
  return { address, dialled: dialled.promise, open: opened.resolve };
}

function isRefused(error: unknown): boolean {
  const { code, retryable } = toEtlError(error);
  return code === 'ETL_UNAVAILABLE' && retryable && outcomeOf(toEtlError(error)) === 'refused';
}

function isUnknown(error: unknown): boolean {
  const { code, retryable } = toEtlError(error);
  return code === 'ETL_UNAVAILABLE' && !retryable && outcomeOf(toEtlError(error)) === 'unknown';
}
