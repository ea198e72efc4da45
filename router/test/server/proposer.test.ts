// When a command is sent again, and what its caller hears: with a request id it applies once however often it is sent,
// without one it is sent once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError, isEtlError, ManualClock, seededRandom } from '@etl-router/core';
import type { Proposed } from '../../src/consensus/consensus.ts';
import { outcomeOf, unknownOutcome, withOutcome } from '../../src/consensus/outcome.ts';
import { Proposer } from '../../src/server/proposer.ts';
import { StateHost } from '../../src/server/state-host.ts';
import { InstantConsensus } from './harness.ts';

type Fate = 'lost answer' | 'not sent' | 'no leader' | 'done';

const unavailable = new EtlError('ETL_UNAVAILABLE', 'no leader is known');

/** A log whose answers and leaders go missing, in the order that is given. */
class FatefulConsensus extends InstantConsensus {
  readonly fates: Fate[] = [];
  sent = 0;

  override async propose(entry: Uint8Array): Promise<Proposed> {
    this.sent += 1;
    const fate = this.fates.shift() ?? 'done';
    if (fate === 'no leader') throw withOutcome(unavailable, 'refused');
    if (fate === 'not sent') throw unknownOutcome('the connection broke');
    const answer = await super.propose(entry);
    if (fate === 'lost answer') throw unknownOutcome('the connection broke');
    return answer;
  }
}

interface World {
  readonly host: StateHost;
  readonly log: FatefulConsensus;
  readonly put: (name: string, requestId?: string) => Promise<bigint>;
}

async function createWorld(): Promise<World> {
  const host = new StateHost();
  const log = new FatefulConsensus(host);
  const proposer = new Proposer({ log, clock: new ManualClock(), random: seededRandom(1) });
  const put: World['put'] = async (name, requestId) => {
    const value = { kind: 'EtlSource', namespace: 'default', name, spec: Buffer.from('{}') };
    const options = requestId === undefined ? {} : { request: { requestId } };
    const { resourceVersion } = await proposer.ask(
      'putObject',
      { case: 'putObject', value },
      options,
    );
    return resourceVersion;
  };
  await put('first', 'opens-the-session');
  log.sent = 0;
  return { host, log, put };
}

test('a request whose answer was lost is sent again, applies once and is answered as the first was', async () => {
  for (const fates of [
    ['lost answer', 'done'],
    ['lost answer', 'lost answer', 'done'],
    ['not sent', 'lost answer', 'done'],
    ['lost answer', 'no leader', 'done'],
  ] as const) {
    const { host, log, put } = await createWorld();
    log.fates.push(...fates);
    const { revision } = host.tables.clock();
    await put('a', 'r-1');
    assert.equal(host.tables.clock().revision, revision + 1n, fates.join(', '));
    assert.equal(log.sent, fates.length);
  }
});

test('a command without a request id is sent once', async () => {
  const { log, put } = await createWorld();
  log.fates.push('lost answer');
  await assert.rejects(put('a'), (error) => {
    assert(isEtlError(error));
    assert.deepEqual(
      [error.code, error.retryable, outcomeOf(error)],
      ['ETL_UNAVAILABLE', false, 'unknown'],
    );
    return true;
  });
  assert.equal(log.sent, 1);
});

test('a request that stays unanswered is unknown, whatever its last attempt came to', async () => {
  for (const last of ['not sent', 'no leader'] as const) {
    const { log, put } = await createWorld();
    log.fates.push('not sent', 'not sent', last);
    await assert.rejects(put('a', 'r-1'), (error) => {
      assert(isEtlError(error));
      assert.match(error.message, /may have taken effect; send it again under its request id$/);
      assert.deepEqual([error.retryable, outcomeOf(error)], [true, 'unknown']);
      return true;
    });
    assert.equal(log.sent, 3);
  }
});

test('a command that nobody took is not sent again here: whoever handed it over has waited', async () => {
  const { log, put } = await createWorld();
  log.fates.push('no leader');
  await assert.rejects(put('a', 'r-1'), { code: 'ETL_UNAVAILABLE' });
  assert.equal(log.sent, 1);
});

test('the errors of a command that nobody took say who leads', async () => {
  const { log, put } = await createWorld();
  log.status = () => ({
    ...InstantConsensus.prototype.status.call(log),
    contacts: [{ id: 1, grpcAddress: '10.0.0.1:50051' }],
  });
  log.fates.push('no leader');
  await assert.rejects(put('a'), {
    code: 'ETL_UNAVAILABLE',
    details: {
      outcome: 'refused',
      leader: 1,
      leaderName: '1',
      grpcAddress: '10.0.0.1:50051',
    },
  });
});
