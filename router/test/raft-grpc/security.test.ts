import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ManualClock, silentLogger, systemClock } from '@etl-router/core';
import { createClient } from '@etl-router/proto/grpc';
import { RaftService } from '@etl-router/proto/raft';
import { ChannelCredentials } from '@grpc/grpc-js';
import { checkOwnCertificate } from '../../src/raft/grpc/own-certificate.ts';
import type { TlsFiles } from '../../src/tls/certificates.ts';
import { Authority } from '../authority.ts';
import { clusterId, heartbeat, type Member, withMembers } from './members.ts';
import { identity, refusalOf, repeatUntil, strangerTo } from './strangers.ts';

const run = promisify(execFile);

/** A copy of a key that takes a password, which nobody could give. */
async function encrypted({ keyFile }: TlsFiles): Promise<string> {
  const out = `${keyFile}.aes`;
  await run('openssl', ['pkey', '-in', keyFile, '-aes256', '-passout', 'pass:x', '-out', out]);
  return out;
}

async function writableByAll({ keyFile }: TlsFiles): Promise<string> {
  const out = `${keyFile}.open`;
  await copyFile(keyFile, out);
  await chmod(out, 0o622);
  return out;
}

/** What a member heard from another. */
function heardFrom(from: Member, { heard }: Member): number {
  return heard.messages.filter((message) => message.from === from.peer.id).length;
}

/** One heartbeat arrives. */
async function isReached(from: Member, to: Member): Promise<void> {
  from.transport.setPeers([to.peer]);
  const before = heardFrom(from, to);
  const reached = to.heard.until(() => heardFrom(from, to) > before);
  await repeatUntil(reached, () => from.transport.send([heartbeat(from.peer.id, to.peer.id)]));
}

/** An attempt fails, and nothing arrives. */
async function isNotReached(from: Member, to: Member): Promise<void> {
  const { heard, transport } = from;
  const before = heardFrom(from, to);
  const toldBefore = heard.unreachable.length;
  const arrived = to.heard.until(() => heardFrom(from, to) > before);
  const refused = heard.until(({ unreachable }) => unreachable.length > toldBefore);
  transport.setPeers([to.peer]);
  transport.send([heartbeat(from.peer.id, to.peer.id)]);
  await Promise.race([refused, arrived]);
  transport.setPeers([]);
  assert.equal(heardFrom(from, to), before);
}

test(
  'members whose certificates name them talk, by DNS name or by URI',
  withMembers(async (members) => {
    const ca = await Authority.create(await members.directory());
    const byName = await ca.issue('m1', 'DNS:m1');
    const byUri = await ca.issue('m2', `DNS:other,URI:etl-router://${clusterId}/m2`);
    const a = await members.add({ id: 1, security: byName });
    const b = await members.add({ id: 2, security: byUri });
    await isReached(a, b);
    await isReached(b, a);
    assert.deepEqual([a.transport.stats().refused, b.transport.stats().refused], [{}, {}]);
  }),
);

test(
  'a member whose certificate does not name it is refused by whoever it dials, and whoever dials it',
  withMembers(async (members) => {
    const ca = await Authority.create(await members.directory());
    const good = await members.add({ id: 1, security: await ca.issue('m1', 'DNS:m1') });
    const wrong = [
      'DNS:m1',
      'DNS:m22',
      'DNS:m2.example',
      'URI:etl-router://another-cluster/m2',
      `URI:etl-router://${clusterId}/m1`,
      `URI:https://${clusterId}/m2`,
    ];
    for (const [at, names] of wrong.entries()) {
      const bad = await members.add({ id: 2, security: await ca.issue(`bad${at}`, names) });
      await isNotReached(good, bad);
      await isNotReached(bad, good);
      assert.ok((good.transport.stats().refused.certificate ?? 0) > at, names);
    }
  }),
);

test(
  'certificates of another authority, none, and plaintext reach nobody',
  withMembers(async (members) => {
    const ca = await Authority.create(await members.directory());
    const other = await Authority.create(await members.directory(), 'other');
    const good = await members.add({ id: 1, security: await ca.issue('m1', 'DNS:m1') });
    const foreign = await members.add({ id: 2, security: await other.issue('m2', 'DNS:m2') });
    const plain = await members.add({ id: 3 });
    for (const bad of [foreign, plain]) {
      await isNotReached(good, bad);
      await isNotReached(bad, good);
    }
    assert.match(
      await refusalOf(strangerTo(members, good), { from: identity({}) }),
      /^ETL_UNAVAILABLE/,
    );
    const anonymous = createClient(
      RaftService,
      good.peer.address,
      ChannelCredentials.createSsl(null, null, null, { rejectUnauthorized: false }),
      { channelOptions: { 'grpc.ssl_target_name_override': 'etl-router' } },
    );
    members.onClose(async () => anonymous.close());
    await assert.rejects(
      anonymous.greet({ from: identity({}), peers: [] }, { deadlineMs: 60_000 }),
    );
    assert.deepEqual(good.heard.messages, []);
  }),
);

test(
  'certificates that are replaced are used by the next connection, and bad ones by none',
  withMembers(async (members) => {
    const old = await Authority.create(await members.directory(), 'old');
    const next = await Authority.create(await members.directory(), 'next');
    const clock = new ManualClock();
    const unusable = Promise.withResolvers<void>();
    const logger = { ...silentLogger, warn: () => unusable.resolve() };
    const own = await old.issue('m1', 'DNS:m1');
    const renewed = await next.issue('m1', 'DNS:m1');
    const listening = await members.add({ id: 1, security: own, clock, logger });
    const before = await members.add({ id: 2, security: await old.issue('m2', 'DNS:m2') });
    const after = await members.add({ id: 3, security: await next.issue('m3', 'DNS:m3') });
    await isReached(before, listening);
    await isNotReached(after, listening);
    await writeFile(own.certFile, 'no certificate');
    clock.advance(5000);
    await unusable.promise;
    await isReached(before, listening);
    await copyFile(renewed.certFile, own.certFile);
    await copyFile(renewed.keyFile, own.keyFile);
    await copyFile(renewed.caFile, own.caFile);
    clock.advance(5000);
    await isReached(after, listening);
    before.transport.setPeers([]);
    await isNotReached(before, listening);
  }),
);

test(
  'certificates that can not be used are refused at the start, naming the files',
  withMembers(async (members) => {
    const ca = await Authority.create(await members.directory());
    const [one, two] = [await ca.issue('m1', 'DNS:m1'), await ca.issue('m2', 'DNS:m2')];
    const broken: readonly TlsFiles[] = [
      { ...one, keyFile: two.keyFile },
      { ...one, caFile: '/nowhere/ca.pem' },
      { ...one, certFile: one.keyFile },
      { ...one, keyFile: await encrypted(one) },
      { ...one, keyFile: await writableByAll(one) },
    ];
    for (const security of broken) {
      await assert.rejects(members.add({ id: 1, security }), {
        code: 'ETL_CONFIG_INVALID',
        message: /^certificates of the members \(.*\.pem, .*\): /,
      });
    }
  }),
);

test(
  'who waits for a cluster is told when it is certificates that keep a peer away',
  withMembers(async (members) => {
    const ca = await Authority.create(await members.directory());
    const other = await Authority.create(await members.directory(), 'other');
    const security = await ca.issue('m1', 'DNS:m1');
    const foreign = { ...(await other.issue('m2', 'DNS:m2')), caFile: ca.caFile };
    const stop = new AbortController();
    const expected = [
      [{ security: foreign }, /the handshake with 127\.0\.0\.1:\d+ failed: .*certificate/],
      [{}, /the handshake with|ended the connection in the handshake; see that both use TLS/],
    ] as const;
    for (const [options, words] of expected) {
      const peer = await members.add({ id: 2, participation: null, ...options });
      const said = Promise.withResolvers<string>();
      const logger = { ...silentLogger, info: (text: unknown) => said.resolve(String(text)) };
      const waiting = await members.add({ id: 1, security, participation: null, logger });
      const waits = waiting.transport.greetPeers([{ address: peer.peer.address }], stop.signal);
      const ended = assert.rejects(waits);
      assert.match(await said.promise, words);
      await waiting.transport.close();
      await ended;
    }
  }),
);

test(
  'a certificate that the other members would refuse is refused at the start, saying why',
  withMembers(async (members) => {
    const ca = await Authority.create(await members.directory());
    const other = await Authority.create(await members.directory(), 'other');
    const own = await ca.issue('m1', 'DNS:m1');
    const self = { name: 'm1', clusterId: '' };
    const day = 24 * 60 * 60 * 1000;
    // openssl writes whole seconds.
    const now = systemClock.wallMs() + 5000;
    await checkOwnCertificate(own, self, now);
    const pem = await readFile(own.certFile, 'utf8');
    await writeFile(own.certFile, `Subject: m1\r\n${pem.replaceAll('\n', '\r\n')}`);
    await checkOwnCertificate(own, self, now);
    const byUri = await ca.issue('uri', `URI:etl-router://${clusterId}/m1`);
    await checkOwnCertificate(byUri, self, now);
    await checkOwnCertificate(byUri, { name: 'm1', clusterId }, now);
    const foreign = await other.issue('m1', 'DNS:m1');
    const refused: readonly (readonly [TlsFiles, typeof self, number, RegExp])[] = [
      [own, self, now + 3 * day, /it expired at 2.*renew it/],
      [own, self, now - day, /it is valid from 2.*see that the clock is right/],
      [own, { ...self, name: 'm2' }, now, /it does not name member m2; .* need DNS:m2 or URI/],
      [byUri, { name: 'm1', clusterId: 'another' }, now, /need DNS:m1 or URI:etl-router:.*another/],
      [{ ...foreign, caFile: own.caFile }, self, now, /none of the authorities in .* signed it/],
    ];
    for (const [security, who, nowMs, message] of refused) {
      await assert.rejects(checkOwnCertificate(security, who, nowMs), {
        code: 'ETL_CONFIG_INVALID',
        message,
      });
    }
  }),
);
