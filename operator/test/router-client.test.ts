// The calls to routers: who is believed on either side, which connections are kept, and what a call says of itself.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { EtlError, isEtlError, systemClock } from '@etl-router/core';
import { RouterAdmin } from '@etl-router/proto/admin';
import {
  addService,
  bindServer,
  type CallContext,
  createServer,
  type Implementation,
} from '@etl-router/proto/grpc';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { memberNames, operatorNames } from '../src/certificates/store.ts';
import { makeAuthority, type Pair, signLeaf } from '../src/certificates/x509.ts';
import { type MemberAddress, RouterAdmins, type RouterCredentials } from '../src/router-client.ts';

const life = { nowMs: systemClock.wallMs(), durationMs: 3_600_000 };
const never = new AbortController().signal;

interface Authority {
  readonly pair: Pair;
  readonly members: Pair;
  readonly credentials: RouterCredentials;
}

async function newAuthority(): Promise<Authority> {
  const pair = await makeAuthority('test', life);
  const sign = (names: readonly string[]): Promise<Pair> =>
    signLeaf(pair, { ...life, commonName: 'test', names });
  const members = await sign(memberNames('main', 'shop'));
  const { certificate, key } = await sign(operatorNames);
  return { pair, members, credentials: { authorities: pair.certificate, certificate, key } };
}

/** A member that answers with its number of calls, and notes who called. */
async function startMember(t: TestContext, { pair, members }: Authority) {
  const contexts: { readonly peer: string; readonly epoch: unknown; readonly names: string }[] = [];
  const handlers = {
    getClusterStatus: (_: unknown, context: CallContext) => {
      contexts.push({
        peer: context.peer,
        epoch: context.header('etl-operator-epoch'),
        names: context.certificate()?.subjectaltname ?? '',
      });
      return { name: '1', term: BigInt(contexts.length) };
    },
    transferLeadership: () => {
      throw new EtlError('ETL_UNSAFE', 'not now');
    },
  };
  const server: Server = createServer();
  const whole = new Proxy(handlers, {
    get: (target, name) => target[name as keyof typeof target] ?? (() => ({})),
  });
  addService(server, RouterAdmin, whole as unknown as Implementation<typeof RouterAdmin>);
  const pairs = [
    { cert_chain: Buffer.from(members.certificate), private_key: Buffer.from(members.key) },
  ];
  const credentials = ServerCredentials.createSsl(Buffer.from(pair.certificate), pairs, true);
  const port = await bindServer(server, '127.0.0.1:0', credentials);
  t.after(() => server.forceShutdown());
  return { contexts, address: `127.0.0.1:${port}` };
}

function addressOf(address: string, change: Partial<MemberAddress> = {}): MemberAddress {
  const serverName = 'main-1.main-peers.shop.svc';
  return { ordinal: 1, podUid: 'a', address, serverName, isReady: true, ...change };
}

function newAdmins(t: TestContext, mayWrite = true) {
  const codes: (string | undefined)[] = [];
  const admins = new RouterAdmins({
    clock: systemClock,
    epoch: () => 7,
    mayWrite: () => mayWrite,
    onCall: (_, code) => codes.push(code),
  });
  t.after(() => admins.close());
  const ask = (credentials: RouterCredentials, members: readonly MemberAddress[]) =>
    admins.askAll('shop/main', credentials, {
      members,
      method: 'getClusterStatus',
      ask: (calls, options) => calls.getClusterStatus({}, options),
      signal: never,
    });
  return { admins, codes, ask };
}

test('a member that proves its name is asked over one connection, with the epoch and the certificate of the operator', async (t) => {
  const authority = await newAuthority();
  const { contexts, address } = await startMember(t, authority);
  const { ask, codes } = newAdmins(t);
  for (let count = 1; count <= 3; count++) {
    const answers = await ask(authority.credentials, [addressOf(address)]);
    assert.deepEqual(
      answers.map(({ value }) => value.term),
      [BigInt(count)],
    );
  }
  assert.equal(new Set(contexts.map(({ peer }) => peer)).size, 1);
  assert.equal(contexts[0]?.epoch, '7');
  assert.match(contexts[0]?.names ?? '', /URI:etl-router:\/\/operator/);
  assert.deepEqual(codes, [undefined, undefined, undefined]);
});

test('another pod and another certificate are another connection', async (t) => {
  const authority = await newAuthority();
  const { contexts, address } = await startMember(t, authority);
  const { ask } = newAdmins(t);
  await ask(authority.credentials, [addressOf(address)]);
  await ask(authority.credentials, [addressOf(address, { podUid: 'b' })]);
  const again = await signLeaf(authority.pair, { ...life, commonName: 'x', names: operatorNames });
  const { certificate, key } = again;
  const renewed = { ...authority.credentials, certificate, key };
  await ask(renewed, [addressOf(address, { podUid: 'b' })]);
  assert.equal(new Set(contexts.map(({ peer }) => peer)).size, 3);
});

test('who has another name, another authority or no pod at all does not answer, and the others do', async (t) => {
  const authority = await newAuthority();
  const stranger = await newAuthority();
  const [member, other] = await Promise.all([startMember(t, authority), startMember(t, stranger)]);
  const { ask, codes } = newAdmins(t);
  const answers = await ask(authority.credentials, [
    addressOf(member.address),
    addressOf(member.address, { ordinal: 2, serverName: 'main-1.main-peers.bank.svc' }),
    addressOf(other.address, { ordinal: 3 }),
    addressOf('127.0.0.1:1', { ordinal: 4 }),
  ]);
  assert.deepEqual(
    answers.map(({ member: { ordinal } }) => ordinal),
    [1],
  );
  assert.equal(codes.filter((code) => code !== undefined).length, 3);
  assert.equal(other.contexts.length, 0);
});

test('a change tells what the member refused, and is not made by a process that does not lead', async (t) => {
  const authority = await newAuthority();
  const { address } = await startMember(t, authority);
  const transfer = (admins: RouterAdmins): Promise<unknown> =>
    admins.call('shop/main', authority.credentials, {
      member: addressOf(address),
      method: 'transferLeadership',
      make: (calls, options) => calls.transferLeadership({ toRaftId: 1n }, options),
      signal: never,
    });
  const failsWith = (code: string) => (error: unknown) => isEtlError(error) && error.code === code;
  await assert.rejects(transfer(newAdmins(t).admins), failsWith('ETL_UNSAFE'));
  const { admins, codes } = newAdmins(t, false);
  await assert.rejects(transfer(admins), failsWith('ETL_NOT_LEADER'));
  assert.deepEqual(codes, []);
});
