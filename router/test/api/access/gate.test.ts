import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError, ManualClock } from '@etl-router/core';
import type { Authority, Caller, Verb } from '../../../src/api/access/access.ts';
import { Gate, recheckMs } from '../../../src/api/access/gate.ts';

const ann: Caller = { name: 'ann', uid: 'u1', groups: [], extra: {} };
const authorization = 'Bearer good';
const request = { headers: { authorization }, headersDistinct: { authorization: [authorization] } };

class SettableAuthority implements Authority {
  isKnown = true;
  isAway = false;
  verbs: readonly Verb[] = ['get'];
  asked = 0;

  async authenticate(): Promise<Caller | undefined> {
    this.asked++;
    if (this.isAway) throw new EtlError('ETL_UNAVAILABLE', 'away', { retryable: true });
    return this.isKnown ? ann : undefined;
  }

  async allows(_: Caller, verb: Verb): Promise<boolean> {
    return this.verbs.includes(verb);
  }
}

async function watching() {
  const clock = new ManualClock();
  const authority = new SettableAuthority();
  let ended = 0;
  const cancel = new Gate(authority).watch(request, clock, () => ended++);
  return {
    authority,
    cancel,
    ended: () => ended,
    pass: async () => {
      clock.advance(recheckMs);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    },
  };
}

test('who listens goes on while the right lasts, and while nobody can say', async () => {
  const { authority, pass, ended } = await watching();
  await pass();
  authority.isAway = true;
  await pass();
  await pass();
  authority.isAway = false;
  await pass();
  assert.deepEqual([authority.asked, ended()], [4, 0]);
});

test('who lost the right, or whose token is not valid any more, listens no longer', async () => {
  for (const change of [{ verbs: [] }, { isKnown: false }]) {
    const { authority, pass, ended } = await watching();
    await pass();
    Object.assign(authority, change);
    await pass();
    await pass();
    assert.deepEqual([authority.asked, ended()], [2, 1]);
  }
});

test('nothing is asked for somebody who left', async () => {
  const { authority, cancel, pass, ended } = await watching();
  await pass();
  cancel();
  authority.isKnown = false;
  await pass();
  assert.deepEqual([authority.asked, ended()], [1, 0]);
});

test('one of the rights is enough to come in, none is not', async () => {
  const authority = new SettableAuthority();
  const gate = new Gate(authority);
  authority.verbs = ['update'];
  await gate.checkAny(ann);
  await assert.rejects(gate.check(ann, 'get'), { code: 'ETL_PERMISSION_DENIED' });
  authority.verbs = [];
  await assert.rejects(gate.checkAny(ann), { code: 'ETL_PERMISSION_DENIED' });
});
