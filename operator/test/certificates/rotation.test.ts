// Certificates over their lives: real keys, a clock that is moved by hand, pods that see changed volumes late, and an
// operator that dies between any two steps.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { ManualClock, type Random, seededRandom } from '@etl-router/core';
import {
  type CertificateRules,
  certificatesViewOf,
  planCertificates,
} from '../../src/certificates/rotation.ts';
import {
  memberNames,
  operatorNames,
  readState,
  type Stored,
  type StoreName,
  takeStep,
} from '../../src/certificates/store.ts';
import { isSignedBy, readCertificate, splitBundle } from '../../src/certificates/x509.ts';

const minuteMs = 60_000;

const rules: CertificateRules = {
  certificateMs: 30 * minuteMs,
  renewBeforeMs: 10 * minuteMs,
  authorityMs: 90 * minuteMs,
  memberNames: memberNames('main', 'shop'),
  operatorNames,
};

const nothing: Stored = {
  ...{ authority: undefined, bundle: undefined, members: undefined, operator: undefined },
};

class Bench {
  clock: ManualClock;
  stored: Stored = nothing;

  constructor(startMs = 0) {
    this.clock = new ManualClock(startMs);
  }

  /** The clock is set, also back. */
  setClock(nowMs: number): void {
    this.clock = new ManualClock(nowMs);
  }

  plan() {
    return planCertificates(readState(this.stored, this.clock.wallMs()), rules);
  }

  /** The next step, or undefined where nothing is left to be done. */
  async step(): Promise<string | undefined> {
    const { step } = this.plan();
    if (step === undefined) return undefined;
    const { stored, clock } = this;
    const { name, data } = await takeStep(step, { stored, rules, clock, cluster: 'shop/main' });
    this.put(name, data);
    return step.kind;
  }

  put(name: StoreName, data: { readonly [key: string]: string }): void {
    this.stored = { ...this.stored, [name]: { data, changedAtMs: this.clock.wallMs() } };
  }

  /** Every step until there is none. */
  async settle(): Promise<readonly string[]> {
    const kinds: string[] = [];
    for (let kind = await this.step(); kind !== undefined; kind = await this.step()) {
      kinds.push(kind);
      assert.ok(kinds.length < 20, `it never ends: ${kinds.join(', ')}`);
    }
    return kinds;
  }

  get view() {
    return certificatesViewOf(readState(this.stored, this.clock.wallMs()));
  }

  get state() {
    return this.view.state;
  }
}

const chains = new Map<string, readonly { readonly fromMs: number; readonly toMs: number }[]>();

/** When each chain from the certificate to the bundle holds; the same is asked again and again. */
function chainsOf(leaf: string, bundle: string) {
  const key = leaf + bundle;
  const known = chains.get(key);
  if (known !== undefined) return known;
  const { notBeforeMs: startMs = 0, notAfterMs: endMs = 0 } = readCertificate(leaf) ?? {};
  const made = splitBundle(bundle)
    .filter((authority) => isSignedBy(leaf, authority))
    .map((authority) => {
      const { notBeforeMs = 0, notAfterMs = 0 } = readCertificate(authority) ?? {};
      return { fromMs: Math.max(startMs, notBeforeMs), toMs: Math.min(endMs, notAfterMs) };
    });
  chains.set(key, made);
  return made;
}

/** Whether who believes the bundle takes the certificate. */
function isTaken(leaf: string, bundle: string, nowMs: number): boolean {
  return chainsOf(leaf, bundle).some(({ fromMs, toMs }) => fromMs <= nowMs && nowMs < toMs);
}

/** A pod or the operator: what it sees of the two volumes, each as late as a kubelet may be. */
class Viewer {
  readonly #random: Random;
  readonly #leafName: 'members' | 'operator';
  readonly #due = { leaf: 0, bundle: 0 };
  leaf = '';
  bundle = '';

  constructor(random: Random, leafName: 'members' | 'operator') {
    this.#random = random;
    this.#leafName = leafName;
  }

  look(stored: Stored, nowMs: number): void {
    const leaf = stored[this.#leafName]?.data['tls.crt'] ?? '';
    const bundle = stored.bundle?.data['ca.crt'] ?? '';
    if (this.#isSeen('leaf', this.leaf, leaf, nowMs)) this.leaf = leaf;
    if (this.#isSeen('bundle', this.bundle, bundle, nowMs)) this.bundle = bundle;
  }

  #isSeen(what: 'leaf' | 'bundle', known: string, is: string, nowMs: number): boolean {
    if (known === is) return false;
    if (this.#due[what] === 0) this.#due[what] = nowMs + this.#random.below(150_000);
    if (known !== '' && nowMs < this.#due[what]) return false;
    this.#due[what] = 0;
    return true;
  }
}

test('from nothing come an authority, who believes it, and two certificates; then nothing is done', async () => {
  const bench = new Bench();
  assert.equal(bench.state, 'pending');
  assert.deepEqual(await bench.settle(), [
    ...['makeAuthority', 'writeBundle', 'signMembers', 'signOperator'],
  ]);
  assert.equal(bench.state, 'valid');
  bench.clock.advance(19 * minuteMs);
  assert.deepEqual(await bench.settle(), []);
  bench.clock.advance(2 * minuteMs);
  assert.deepEqual(await bench.settle(), ['signMembers', 'signOperator']);
});

test('through six hours of renewals everybody takes everybody’s certificate, whenever the operator dies', async () => {
  for (const seed of [1, 2]) {
    const random = seededRandom(seed);
    const bench = new Bench();
    await bench.settle();
    const viewers = ['members', 'members', 'members', 'operator'] as const;
    const all = viewers.map((leafName) => new Viewer(random, leafName));
    const authorities = new Set<string>();
    for (let second = 0; second < 6 * 3600; second += 30) {
      bench.clock.advance(30_000);
      // It is away now and then, and makes one step of several at most before it dies.
      if (random.next() < 0.7) await bench.step();
      const nowMs = bench.clock.wallMs();
      for (const viewer of all) viewer.look(bench.stored, nowMs);
      for (const from of all) {
        for (const to of all)
          assert.ok(isTaken(from.leaf, to.bundle, nowMs), `seed ${seed} after ${second} s`);
      }
      authorities.add(bench.stored.authority?.data['ca.crt'] ?? '');
    }
    assert.ok(authorities.size >= 5, `${authorities.size} authorities`);
    assert.ok(splitBundle(bench.stored.bundle?.data['ca.crt'] ?? '').length <= 3);
  }
});

test('who finds everything expired makes all of it anew at once', async () => {
  const bench = new Bench();
  await bench.settle();
  const { notAfterMs } = bench.view;
  bench.clock.advance(48 * 60 * minuteMs);
  assert.deepEqual([bench.state, bench.view.outOfDates], ['expired', true]);
  assert.equal(bench.view.notAfterMs, notAfterMs);
  assert.deepEqual(await bench.settle(), [
    ...['makeAuthority', 'writeBundle', 'signMembers', 'signOperator'],
  ]);
  assert.equal(bench.state, 'valid');
  assert.equal(splitBundle(bench.stored.bundle?.data['ca.crt'] ?? '').length, 1);
});

test('when the authority is lost, what it signed is believed until it is replaced', async () => {
  const bench = new Bench();
  await bench.settle();
  const leaf = bench.stored.members?.data['tls.crt'] ?? '';
  bench.clock.advance(minuteMs);
  bench.put('authority', { 'ca.crt': 'no certificate', 'ca.key': 'no key' });
  assert.deepEqual(await bench.settle(), ['makeAuthority', 'writeBundle']);
  const bundle = bench.stored.bundle?.data['ca.crt'] ?? '';
  assert.equal(splitBundle(bundle).length, 2);
  assert.ok(isTaken(leaf, bundle, bench.clock.wallMs()));
  bench.clock.advance(4 * minuteMs);
  assert.deepEqual(await bench.settle(), ['signMembers', 'signOperator']);
  bench.clock.advance(4 * minuteMs);
  assert.deepEqual(await bench.settle(), ['dropPrevious', 'writeBundle']);
});

test('a certificate with the key of another, without a name or emptied is replaced', async () => {
  const bench = new Bench();
  await bench.settle();
  const { data = {} } = bench.stored.members ?? {};
  const others = bench.stored.operator?.data ?? {};
  for (const spoilt of [{ ...data, 'tls.key': others['tls.key'] ?? '' }, others, {}]) {
    bench.put('members', spoilt);
    assert.deepEqual(await bench.settle(), ['signMembers']);
  }
});

test('certificates of a clock that was ahead are replaced once it is right, and not said to be valid until then', async () => {
  const bench = new Bench();
  await bench.settle();
  const bundle = bench.stored.bundle?.data['ca.crt'];
  bench.setClock(25 * minuteMs);
  assert.deepEqual(await bench.settle(), ['signMembers', 'signOperator']);
  bench.setClock(2 * minuteMs);
  assert.equal(bench.state, 'pending');
  assert.match(bench.view.message ?? '', /valid from 1970-01-01T00:20:00Z on/);
  assert.equal(bench.view.outOfDates, true);
  assert.deepEqual(await bench.settle(), ['signMembers', 'signOperator']);
  assert.deepEqual([bench.state, bench.view.outOfDates], ['valid', undefined]);
  assert.equal(bench.stored.bundle?.data['ca.crt'], bundle);
});

test('an authority of a clock that was ahead is replaced, too, by one that is believed before it signs', async () => {
  const bench = new Bench(60 * minuteMs);
  await bench.settle();
  bench.setClock(0);
  assert.equal(bench.state, 'pending');
  assert.deepEqual(await bench.settle(), ['makeAuthority', 'writeBundle']);
  assert.equal(splitBundle(bench.stored.bundle?.data['ca.crt'] ?? '').length, 2);
  assert.equal(bench.state, 'pending');
  bench.clock.advance(2 * minuteMs);
  assert.deepEqual(await bench.settle(), []);
  bench.clock.advance(minuteMs);
  assert.deepEqual(await bench.settle(), ['signMembers', 'signOperator']);
  assert.equal(bench.state, 'valid');
  bench.clock.advance(3 * minuteMs);
  assert.deepEqual(await bench.settle(), ['dropPrevious', 'writeBundle']);
});

test('a certificate is not valid before its authority is', async () => {
  const bench = new Bench(10 * minuteMs);
  assert.equal(await bench.step(), 'makeAuthority');
  bench.setClock(4 * minuteMs);
  assert.deepEqual(await bench.settle(), ['writeBundle', 'signMembers', 'signOperator']);
  bench.setClock(0);
  assert.equal(bench.state, 'pending');
  bench.setClock(5 * minuteMs);
  assert.equal(bench.state, 'valid');
});

test('a next authority of a clock that was ahead is made anew, and does not sign before it can', async () => {
  const bench = new Bench();
  await bench.settle();
  bench.setClock(60 * minuteMs);
  assert.deepEqual(await bench.settle(), [
    ...['makeNext', 'writeBundle', 'signMembers', 'signOperator'],
  ]);
  bench.setClock(20 * minuteMs);
  assert.deepEqual(await bench.settle(), [
    ...['makeNext', 'writeBundle', 'signMembers', 'signOperator'],
  ]);
  assert.equal(bench.state, 'valid');
  bench.clock.advance(3 * minuteMs);
  assert.deepEqual(await bench.settle(), ['adoptNext', 'signMembers', 'signOperator']);
  assert.equal(bench.state, 'valid');
});

test('operators whose clocks are minutes apart leave each other’s certificates as they are', async () => {
  const bench = new Bench(60 * minuteMs);
  await bench.settle();
  bench.setClock(55 * minuteMs);
  assert.equal(bench.state, 'valid');
  assert.deepEqual(await bench.settle(), []);
  // They will be valid before anything else could be.
  bench.setClock(54.5 * minuteMs);
  assert.equal(bench.state, 'pending');
  assert.deepEqual(bench.plan(), { step: undefined, checkAfterMs: minuteMs / 2 });
  bench.setClock(53.9 * minuteMs);
  assert.deepEqual(bench.plan().step, { kind: 'makeAuthority' });
});

test('an authority that a clock ahead took for ended is believed again when the clock is right', async () => {
  const bench = new Bench();
  await bench.settle();
  const leaf = bench.stored.operator?.data['tls.crt'] ?? '';
  const bundle = () => bench.stored.bundle?.data['ca.crt'] ?? '';
  bench.setClock(100 * minuteMs);
  for (const kind of ['makeAuthority', 'writeBundle', 'signMembers'])
    assert.equal(await bench.step(), kind);
  assert.equal(isTaken(leaf, bundle(), 5 * minuteMs), false);
  bench.setClock(5 * minuteMs);
  assert.deepEqual(await bench.settle(), ['makeAuthority', 'writeBundle']);
  assert.ok(isTaken(leaf, bundle(), 5 * minuteMs));
  bench.clock.advance(3 * minuteMs);
  assert.deepEqual(await bench.settle(), ['signMembers', 'signOperator']);
  bench.clock.advance(3 * minuteMs);
  assert.deepEqual(await bench.settle(), ['dropPrevious', 'writeBundle']);
  assert.equal(splitBundle(bundle()).length, 1);
});

test('a bundle that says to be of a time to come is written once more, so that what waits for it goes on', async () => {
  const bench = new Bench();
  await bench.settle();
  bench.setClock(55 * minuteMs);
  assert.deepEqual(await bench.settle(), [
    ...['makeNext', 'writeBundle', 'signMembers', 'signOperator'],
  ]);
  bench.setClock(200 * minuteMs);
  bench.put('bundle', bench.stored.bundle?.data ?? {});
  bench.setClock(56 * minuteMs);
  assert.deepEqual(await bench.settle(), ['writeBundle']);
  bench.clock.advance(3 * minuteMs);
  assert.equal(await bench.step(), 'adoptNext');
});

test('whatever clocks made the certificates, a quarter of an hour with a right one mends them', async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const random = seededRandom(seed);
    const bench = new Bench();
    await bench.settle();
    for (let turn = 0; turn < 20; turn++) {
      bench.setClock(random.below(200) * minuteMs);
      for (let steps = random.below(5); steps > 0; steps--) await bench.step();
    }
    bench.setClock(100 * minuteMs);
    for (let minute = 0; minute < 15; minute++) {
      await bench.settle();
      bench.clock.advance(minuteMs);
    }
    await bench.settle();
    assert.equal(bench.state, 'valid', `seed ${seed}`);
    const { bundle, members, operator } = bench.stored;
    for (const leaf of [members, operator]) {
      const [pem, believed] = [leaf?.data['tls.crt'] ?? '', bundle?.data['ca.crt'] ?? ''];
      assert.ok(isTaken(pem, believed, bench.clock.wallMs()), `seed ${seed}`);
    }
    assert.ok(splitBundle(bundle?.data['ca.crt'] ?? '').length <= 2, `seed ${seed}`);
  }
});

test('members take each other by what was made, over TLS 1.3', async () => {
  const bench = new Bench(Date.now());
  await bench.settle();
  const { data: members = {} } = bench.stored.members ?? {};
  const { data: operator = {} } = bench.stored.operator ?? {};
  const ca = bench.stored.bundle?.data['ca.crt'];
  const server = createServer({
    ...{ cert: members['tls.crt'], key: members['tls.key'], ca, minVersion: 'TLSv1.3' },
    ...{ requestCert: true, rejectUnauthorized: true },
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
  const client = connect({
    ...{ port, host: '127.0.0.1', servername: 'main-3.main-peers.shop.svc', ca },
    ...{ cert: operator['tls.crt'], key: operator['tls.key'] },
  });
  await once(client, 'secureConnect');
  const [socket] = await accepted;
  assert.match(socket.getPeerCertificate().subjectaltname ?? '', /URI:etl-router:\/\/operator/);
  const named = client.getPeerCertificate().subjectaltname ?? '';
  for (const name of ['DNS:1', 'DNS:7', 'DNS:main.shop.svc']) assert.ok(named.includes(name), name);
  client.destroy();
  socket.destroy();
  server.close();
  await once(server, 'close');
});
