import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxRequestsPerSession } from '../../src/state/limits.ts';
import { StateMachine } from '../../src/state/machine.ts';
import { decodeResult } from '../../src/state/proposal.ts';
import { Bench, putPipeline } from './harness.ts';

function open(bench: Bench): string {
  const { outcome } = bench.accept({
    case: 'openSession',
    value: { client: 'etlctl', ttlMs: 60_000 },
  });
  assert(outcome.case === 'openSession');
  return outcome.value.sessionId;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

test('a repeated request is answered as it was, and applies once', () => {
  const bench = new Bench();
  const request = { sessionId: open(bench), requestId: 'r1' };
  const first = bench.apply(putPipeline('orders'), { request });
  bench.accept({
    case: 'deleteObject',
    value: { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' },
  });
  const again = bench.apply(putPipeline('orders'), { request });
  assert.equal(hex(again.result), hex(first.result));
  assert.equal(again.changes.length, 0);
  assert.equal(bench.machine.tables.objects.size, 0);
});

test('a refusal is remembered too', () => {
  const bench = new Bench();
  const request = { sessionId: open(bench), requestId: 'r1' };
  const remove = {
    case: 'deleteObject',
    value: { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' },
  } as const;
  assert.equal(bench.refuse(remove, { request }), 'ETL_NOT_FOUND');
  bench.accept(putPipeline('orders'));
  assert.equal(bench.refuse(remove, { request }), 'ETL_NOT_FOUND');
  assert.equal(bench.machine.tables.objects.size, 1);
});

test('another command under the same request id is a conflict', () => {
  const bench = new Bench();
  const request = { sessionId: open(bench), requestId: 'r1' };
  bench.accept(putPipeline('orders'), { request });
  assert.equal(bench.refuse(putPipeline('orders', '{"a":1}'), { request }), 'ETL_CONFLICT');
  const other = { ...request, sessionId: open(bench) };
  bench.accept(putPipeline('orders', '{"a":1}'), { request: other });
});

test('a session forgets its oldest answer first, also after a restart', () => {
  const bench = new Bench();
  const sessionId = open(bench);
  // Request ids whose order is not that of the requests: a restart loads rows in order of their ids.
  const send = (on: Bench, count: number) =>
    on.accept(
      { case: 'noop', value: {} },
      { request: { sessionId, requestId: `r${maxRequestsPerSession - count}` } },
    );
  for (let count = 0; count < maxRequestsPerSession; count++) send(bench, count);
  assert.equal(bench.machine.tables.requests.size, maxRequestsPerSession);
  const restored = new Bench(StateMachine.load(bench.machine.rows()));
  send(restored, maxRequestsPerSession);
  const { requests } = restored.machine.tables;
  assert.equal(requests.size, maxRequestsPerSession);
  assert.equal(requests.get(`${sessionId}\u0000r${maxRequestsPerSession}`), undefined);
});

test('an expired session is not found, and one that was used meanwhile does not expire', () => {
  const bench = new Bench();
  const sessionId = open(bench);
  const seen = bench.machine.tables.sessions.get(sessionId)?.lastSeenAtNs ?? 0n;
  bench.accept({ case: 'keepSession', value: { sessionId } });
  const stale = { case: 'expireSession', value: { sessionId, lastSeenAtNs: seen } } as const;
  assert.equal(bench.refuse(stale), 'ETL_CONFLICT');
  bench.accept({ case: 'noop', value: {} }, { request: { sessionId, requestId: 'r' } });
  bench.accept({ case: 'expireSession', value: { sessionId } });
  assert.equal(bench.machine.tables.requests.size, 0);
  const request = { sessionId, requestId: 'r' };
  assert.equal(
    decodeResult(bench.apply(putPipeline('orders'), { request }).result).outcome.case,
    'refusal',
  );
  assert.equal(bench.machine.tables.objects.size, 0);
});

test('a request without a session, or a session without a request, is refused', () => {
  const bench = new Bench();
  const sessionId = open(bench);
  for (const request of [
    { sessionId, requestId: '' },
    { sessionId: '', requestId: 'r' },
  ]) {
    const { result, changes } = bench.apply(putPipeline('orders'), { request });
    assert.equal(decodeResult(result).outcome.case, 'refusal');
    assert.equal(changes.length, 0);
  }
});
