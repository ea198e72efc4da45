import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Cancel,
  type Clock,
  ManualClock,
  type Random,
  seededRandom,
  sleep,
} from '@etl-router/core';
import { ApiError } from '../../src/runtime/api-error.ts';
import { KubeConnection } from '../../src/runtime/connection.ts';
import type { CallOptions } from '../../src/runtime/kube-caller.ts';
import type { KubeKind, KubeObject, ObjectRef } from '../../src/runtime/kube-object.ts';
import {
  type ElectionEnd,
  LeaderElection,
  type LeaderElectionOptions,
} from '../../src/runtime/leader-election.ts';
import { epochOf, leaseKind } from '../../src/runtime/lease.ts';
import { RawKube } from '../../src/runtime/raw-kube.ts';
import { ObjectStore, Refusal } from '../faulty-api-server/object-store.ts';
import { driveUntil, startBench, turns } from './harness.ts';

/** A clock that runs faster or slower than the true one, jumps on its wall, and whose process may stand still. */
class OwnClock implements Clock {
  wallOffsetMs = 0;
  /** True time until which nothing of this process runs. */
  stalledUntilMs = 0;
  readonly #truth: ManualClock;
  readonly #rate: number;

  constructor(truth: ManualClock, rate = 1) {
    this.#truth = truth;
    this.#rate = rate;
  }

  wallMs(): number {
    return this.#truth.wallMs() * this.#rate + this.wallOffsetMs;
  }

  monotonicMs(): number {
    return this.#truth.monotonicMs() * this.#rate;
  }

  after(delayMs: number, run: () => void): Cancel {
    let cancel: Cancel = () => undefined;
    const whenAwake = (): void => {
      const leftMs = this.stalledUntilMs - this.#truth.monotonicMs();
      if (leftMs > 0) cancel = this.#truth.after(leftMs, whenAwake);
      else run();
    };
    cancel = this.#truth.after(delayMs / this.#rate, whenAwake);
    return () => cancel();
  }
}

interface Network {
  readonly store: ObjectStore;
  readonly truth: ManualClock;
  readonly random: Random;
  /** Chance that a request or its answer is lost. */
  loss: number;
  maxLatencyMs: number;
}

/** A client that reaches the store late, or not, or is not told that it did. */
function clientOf(network: Network, clock: OwnClock): LeaderElectionOptions['client'] {
  const { store, truth, random } = network;
  const call = async <T>(options: CallOptions | undefined, act: () => unknown): Promise<T> => {
    const ending = new AbortController();
    const cancel = clock.after(options?.deadlineMs ?? 30_000, () =>
      ending.abort(new Error('deadline')),
    );
    options?.signal?.addEventListener('abort', () => ending.abort(options?.signal?.reason), {
      once: true,
    });
    try {
      await sleep(truth, random.below(network.maxLatencyMs + 1));
      if (random.next() < network.loss) await sleep(truth, 1e9, ending.signal);
      let answer: unknown;
      try {
        answer = structuredClone(act());
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        throw new ApiError('lease', error.status, { reason: error.reason, message: error.message });
      } finally {
        await sleep(truth, random.below(network.maxLatencyMs + 1));
        if (random.next() < network.loss) await sleep(truth, 1e9, ending.signal);
      }
      // Nothing of a process that stands still runs, the arrival of answers included.
      await sleep(clock, 0);
      if (ending.signal.aborted) throw ending.signal.reason;
      return answer as T;
    } finally {
      cancel();
    }
  };
  const keyOf = ({ namespace, name }: ObjectRef) => ({ collection: 'leases', namespace, name });
  return {
    get: async <T extends KubeObject>(ref: ObjectRef, options?: CallOptions) =>
      await call<T>(options, () => store.get(keyOf(ref))),
    create: async <T extends KubeObject>(_: KubeKind, object: T, options?: CallOptions) =>
      await call<T>(options, () =>
        store.create(
          { collection: 'leases', namespace: 'etl', name: object.metadata.name },
          object as never,
        ),
      ),
    replace: async <T extends KubeObject>(ref: ObjectRef, object: T, options?: CallOptions) =>
      await call<T>(options, () => store.replace(keyOf(ref), object as never)),
  };
}

interface Contender {
  readonly clock: OwnClock;
  readonly election: LeaderElection;
  readonly stop: () => void;
  end: ElectionEnd | undefined;
}

function contend(network: Network, identity: string, rate = 1): Contender {
  const clock = new OwnClock(network.truth, rate);
  const election = new LeaderElection({
    client: clientOf(network, clock),
    namespace: 'etl',
    name: 'operator',
    identity,
    clock,
    random: network.random,
  });
  const stopping = new AbortController();
  const contender: Contender = {
    clock,
    election,
    end: undefined,
    stop: () => stopping.abort(new Error('stop')),
  };
  void election
    .run(stopping.signal, () => undefined)
    .then((end) => {
      contender.end = end;
    });
  return contender;
}

function quietNetwork(seed = 1): Network {
  return {
    store: new ObjectStore(),
    truth: new ManualClock(1_000_000),
    random: seededRandom(seed),
    loss: 0,
    maxLatencyMs: 5,
  };
}

test('one leads, the other waits; a release hands over within one retry, a death within the lease', async () => {
  const network = quietNetwork();
  const first = contend(network, 'first');
  await driveUntil(network.truth, () => first.election.mayWrite(), 'the first leads');
  const second = contend(network, 'second');
  await network.truth.advanceAsync(60_000, 50);
  assert.deepEqual([first.election.mayWrite(), second.election.mayWrite()], [true, false]);
  assert.equal(second.election.leader, 'first');
  first.stop();
  await driveUntil(network.truth, () => first.end === 'stopped', 'the end');
  const releasedMs = network.truth.monotonicMs();
  let released = false;
  void first.election.release().then(() => {
    released = true;
  });
  await driveUntil(network.truth, () => released, 'the release');
  assert.equal(first.election.mayWrite(), false);
  await driveUntil(network.truth, () => second.election.mayWrite(), 'the second leads');
  assert.ok(network.truth.monotonicMs() - releasedMs < 3000);
  assert.equal(second.election.epoch, first.election.epoch + 1);
  const third = contend(network, 'third');
  await network.truth.advanceAsync(5000, 50);
  second.clock.stalledUntilMs = Number.MAX_SAFE_INTEGER;
  const diedMs = network.truth.monotonicMs();
  await driveUntil(network.truth, () => third.election.mayWrite(), 'the third leads');
  const tookMs = network.truth.monotonicMs() - diedMs;
  assert.ok(tookMs > 12_000 && tookMs < 20_000, String(tookMs));
});

test('who stood still for twenty seconds writes nothing when it wakes, and ends', async () => {
  const network = quietNetwork();
  const frozen = contend(network, 'frozen');
  await driveUntil(network.truth, () => frozen.election.mayWrite(), 'the first leads');
  const epoch = frozen.election.epoch;
  const other = contend(network, 'other');
  await network.truth.advanceAsync(5000, 50);
  frozen.clock.stalledUntilMs = network.truth.monotonicMs() + 20_000;
  await driveUntil(network.truth, () => other.election.mayWrite(), 'the other leads', 50);
  assert.equal(frozen.election.mayWrite(), false);
  await driveUntil(network.truth, () => frozen.end !== undefined, 'the end', 50);
  assert.equal(frozen.end, 'lost');
  assert.deepEqual(
    [frozen.election.mayWrite(), frozen.election.epoch, other.election.epoch],
    [false, epoch, epoch + 1],
  );
});

test('a wall clock that jumps by an hour makes nobody take over', async () => {
  const network = quietNetwork();
  const leader = contend(network, 'leader');
  await driveUntil(network.truth, () => leader.election.mayWrite(), 'it leads');
  const other = contend(network, 'other');
  await network.truth.advanceAsync(5000, 50);
  for (const jumpMs of [3_600_000, -7_200_000]) {
    other.clock.wallOffsetMs += jumpMs;
    await network.truth.advanceAsync(20_000, 50);
    assert.deepEqual([leader.election.mayWrite(), other.election.mayWrite()], [true, false]);
    leader.clock.wallOffsetMs += jumpMs;
    assert.equal(leader.election.mayWrite(), false, 'it may have slept: it renews first');
    await network.truth.advanceAsync(3000, 50);
    assert.deepEqual([leader.election.mayWrite(), other.election.mayWrite()], [true, false]);
  }
});

test('a server that is away: the leader stops acting after its deadline, and ends', async () => {
  const network = quietNetwork();
  const leader = contend(network, 'leader');
  await driveUntil(network.truth, () => leader.election.mayWrite(), 'it leads');
  network.loss = 1;
  const startMs = network.truth.monotonicMs();
  await driveUntil(network.truth, () => !leader.election.mayWrite(), 'it stops acting');
  const tookMs = network.truth.monotonicMs() - startMs;
  assert.ok(tookMs > 7000 && tookMs <= 10_010, String(tookMs));
  await driveUntil(network.truth, () => leader.end === 'lost', 'the end');
});

test('time counts from the request: an answer that comes late gives no more of it', async () => {
  const network = quietNetwork();
  const clock = new OwnClock(network.truth);
  const client = clientOf(network, clock);
  let requestedMs = 0;
  const slow: LeaderElectionOptions['client'] = {
    ...client,
    replace: async (ref, object, options) => {
      if (requestedMs > 0) return await new Promise(() => undefined);
      requestedMs = network.truth.monotonicMs();
      const written = await client.replace(ref, object, options);
      await sleep(network.truth, 4500);
      // Wall time alone would tell as much: here it does not.
      clock.wallOffsetMs -= 4500;
      return written;
    },
  };
  const common = { namespace: 'etl', name: 'operator', identity: 'slow', clock };
  const election = new LeaderElection({ ...common, client: slow, random: network.random });
  void election.run(new AbortController().signal, () => undefined);
  await driveUntil(network.truth, () => requestedMs > 0, 'the renewal');
  await driveUntil(network.truth, () => !election.mayWrite(), 'it stops acting');
  const tookMs = network.truth.monotonicMs() - requestedMs;
  assert.ok(tookMs >= 9990 && tookMs <= 10_010, String(tookMs));
});

test('a wall clock that is set back a little lengthens nothing', async () => {
  const network = quietNetwork();
  const leader = contend(network, 'leader');
  await driveUntil(network.truth, () => leader.election.mayWrite(), 'it leads');
  leader.clock.stalledUntilMs = Number.MAX_SAFE_INTEGER;
  await network.truth.advanceAsync(5000);
  leader.clock.wallOffsetMs -= 4000;
  assert.equal(leader.election.mayWrite(), true);
  await network.truth.advanceAsync(5000);
  assert.equal(leader.election.mayWrite(), false);
});

test('a lease that somebody labels is renewed all the same; one that is stolen is lost', async () => {
  const network = quietNetwork();
  const leader = contend(network, 'leader');
  await driveUntil(network.truth, () => leader.election.mayWrite(), 'it leads');
  const key = { collection: 'leases', namespace: 'etl', name: 'operator' };
  const labelled = structuredClone(network.store.get(key));
  labelled.metadata['labels'] = { by: 'hand' };
  network.store.replace(key, labelled);
  await network.truth.advanceAsync(20_000, 50);
  assert.equal(leader.election.mayWrite(), true);
  const stolen = structuredClone(network.store.get(key));
  (stolen['spec'] as { holderIdentity: string }).holderIdentity = 'thief';
  network.store.replace(key, stolen);
  await network.truth.advanceAsync(2600, 50);
  assert.equal(leader.election.mayWrite(), false, 'at the next try');
  await driveUntil(network.truth, () => leader.end !== undefined, 'the end', 50);
  assert.equal(leader.end, 'lost');
});

test('a lease that was deleted does not set the epochs back', async () => {
  const network = quietNetwork();
  const leader = contend(network, 'leader');
  await driveUntil(network.truth, () => leader.election.mayWrite(), 'it leads');
  const other = contend(network, 'other');
  await network.truth.advanceAsync(5000, 50);
  network.store.delete({ collection: 'leases', namespace: 'etl', name: 'operator' });
  await driveUntil(
    network.truth,
    () => leader.end !== undefined && other.election.mayWrite(),
    'the other leads',
    50,
  );
  assert.ok(other.election.epoch > leader.election.epoch);
});

test('a lease that was made anew has a higher epoch, though nobody is left who saw the old one', () => {
  const leaseOf = (creationTimestamp: string, leaseTransitions: number): number =>
    epochOf({
      ...{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' },
      metadata: { name: 'operator', creationTimestamp },
      spec: { leaseTransitions },
    });
  const old = leaseOf('2026-01-01T00:00:00Z', 900_000);
  assert.ok(leaseOf('2026-01-01T00:00:01Z', 1) > old);
  assert.equal(leaseOf('2026-01-01T00:00:00Z', 900_001), old + 1);
  assert.ok(Number.isSafeInteger(leaseOf('2200-01-01T00:00:00Z', 900_000)));
});

test('never may two write, with clocks that drift, processes that stall and a network that loses', async (t) => {
  let terms = 0;
  for (let seed = 1; seed <= 100; seed++) {
    const random = seededRandom(seed);
    const network: Network = {
      store: new ObjectStore(),
      truth: new ManualClock(1_000_000),
      random,
      loss: 0.2 * random.next(),
      maxLatencyMs: [10, 1000, 6000][random.below(3)] as number,
    };
    const epochs = new Map<number, Contender>();
    let contenders = [0, 1, 2].map((index) =>
      contend(network, `${seed}-${index}`, 0.85 + 0.35 * random.next()),
    );
    for (let step = 0; step < 400; step++) {
      const chosen = contenders[random.below(3)] as Contender;
      if (random.below(40) === 0)
        chosen.clock.stalledUntilMs = network.truth.monotonicMs() + random.below(30_000);
      if (random.below(60) === 0) chosen.clock.wallOffsetMs += random.below(7_200_000) - 3_600_000;
      network.truth.advance(1 + random.below(1000));
      await turns(1);
      const writers = contenders.filter(({ election }) => election.mayWrite());
      assert.ok(writers.length <= 1, `seed ${seed}, step ${step}: ${writers.length} may write`);
      for (const writer of writers) {
        const before = epochs.get(writer.election.epoch);
        assert.ok(before === undefined || before === writer, `seed ${seed}: an epoch of two`);
        epochs.set(writer.election.epoch, writer);
      }
      contenders = contenders.map((each, index) =>
        each.end === 'lost'
          ? contend(network, `${seed}-${index}-${step}`, 0.85 + 0.35 * random.next())
          : each,
      );
    }
    for (const { stop } of contenders) stop();
    terms += epochs.size;
  }
  t.diagnostic(`${terms} terms in 100 seeds`);
  assert.ok(terms > 200, `only ${terms} terms: nothing was tried`);
});

test('over HTTP: renewals go on while the other client is kept waiting, and writes are those of the leader', async (t) => {
  const { server, clock, random, until } = await startBench(t);
  const connection = new KubeConnection(server.kubeConfig(), clock);
  t.after(() => connection.close());
  const election = new LeaderElection({
    client: new RawKube({ connection, clock }),
    namespace: 'etl',
    name: 'operator',
    identity: 'a',
    clock,
    random,
  });
  const stopping = new AbortController();
  const running = election.run(stopping.signal, () => undefined);
  await until(() => election.mayWrite(), 'it leads');
  const lease = server.store.get({
    collection: '/apis/coordination.k8s.io/v1/leases',
    namespace: 'etl',
    name: 'operator',
  });
  assert.match(
    (lease['spec'] as { renewTime: string }).renewTime,
    /^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z$/,
  );
  assert.equal((lease['spec'] as { leaseDurationSeconds: number }).leaseDurationSeconds, 15);
  server.faults.add({ plural: leaseKind.plural }, { do: 'reset' }, 2);
  for (let second = 0; second < 30; second++) {
    clock.advance(1000);
    await turns(30);
  }
  assert.equal(election.mayWrite(), true);
  stopping.abort(new Error('stop'));
  assert.equal(await running, 'stopped');
  await election.release();
});
