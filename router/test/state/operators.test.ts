import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stateDigest } from '../../src/server/digest.ts';
import { StateMachine } from '../../src/state/machine.ts';
import { operatorEpoch } from '../../src/state/operators.ts';
import { type CommandBody, decodeResult } from '../../src/state/proposal.ts';
import { Bench } from './harness.ts';

const raise = (epoch: bigint): CommandBody => ({ case: 'raiseOperatorEpoch', value: { epoch } });

test('an epoch is kept, told again without effect, and refused below', () => {
  const bench = new Bench();
  bench.accept(raise(3n));
  assert.deepEqual(bench.apply(raise(3n)).changes, []);
  assert.equal(bench.refuse(raise(2n)), 'ETL_FENCED');
  for (const wrong of [0n, 2n ** 53n, 2n ** 64n - 1n])
    assert.equal(bench.refuse(raise(wrong)), 'ETL_INVALID_ARGUMENT');
  bench.accept(raise(2n ** 53n - 1n));
  assert.equal(operatorEpoch(bench.machine.tables), 2n ** 53n - 1n);
});

test('whatever epochs come, the highest so far counts, also after any snapshot', () => {
  const epochs = fc.array(fc.oneof(fc.bigInt(0n, 6n), fc.bigInt(0n, 2n ** 64n - 1n)), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(epochs, fc.nat(20), (all, cut) => {
      let bench = new Bench();
      let highest = 0n;
      for (const [at, epoch] of all.entries()) {
        if (at === cut) {
          const { nowNs } = bench;
          const before = stateDigest(bench.machine.rows());
          bench = new Bench(StateMachine.load([...bench.machine.rows()]));
          bench.nowNs = nowNs;
          assert.deepEqual(stateDigest(bench.machine.rows()), before);
        }
        const { outcome } = decodeResult(bench.apply(raise(epoch)).result);
        const isRight = epoch >= 1n && epoch < 2n ** 53n;
        const code = !isRight ? 'ETL_INVALID_ARGUMENT' : epoch < highest ? 'ETL_FENCED' : undefined;
        assert.equal(outcome.case === 'refusal' ? outcome.value.code : undefined, code);
        if (code === undefined) highest = epoch;
        assert.equal(operatorEpoch(bench.machine.tables), highest);
      }
    }),
  );
});
