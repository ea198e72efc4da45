import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, EtlError, errorCodes, seededRandom } from '@etl-router/core';
import fc from 'fast-check';
import { backoffMs, classify, isExhausted } from '../../src/engine/retry.ts';

const policy = { maxAttempts: 4, backoff: { initialMs: 100, factor: 2, capMs: 5000, jitter: 0.2 } };

test('waits grow by the factor, within the jitter, and never pass the cap', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1000 }), fc.nat(), (failures, seed) => {
      const waited = backoffMs(policy, failures, seededRandom(seed));
      const middle = Math.min(5000, 100 * 2 ** Math.min(failures - 1, 64));
      assert.ok(waited >= middle * 0.8 && waited <= Math.min(5000, middle * 1.2));
    }),
  );
});

test('only what is about the record is the record’s fault', () => {
  const faults = Object.keys(errorCodes).filter(
    (code) => classify(new EtlError(code as ErrorCode, 'x')) === 'record',
  );
  assert.deepEqual(faults, [
    'ETL_INTERNAL',
    'ETL_INVALID_ARGUMENT',
    'ETL_LIMIT_EXCEEDED',
    'ETL_RECORD_MALFORMED',
  ]);
  assert.equal(classify(new EtlError('ETL_FENCED', 'x')), 'fenced');
  assert.equal(classify(new EtlError('ETL_STORAGE_FAILED', 'disk full')), 'stage');
  assert.equal(classify(new EtlError('ETL_INTERNAL', 'x', { retryable: true })), 'stage');
});

test('no record is given up while nothing shows that its stage works', () => {
  assert.equal(isExhausted(policy, 1000, false), false);
  assert.equal(isExhausted(policy, 3, true), false);
  assert.equal(isExhausted(policy, 4, true), true);
});
