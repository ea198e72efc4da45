import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, isEtlError, parseDuration } from '@etl-router/core';
import fc from 'fast-check';

test('durations are sums of numbers with units', () => {
  const cases: readonly (readonly [string, number])[] = [
    ['0s', 0],
    ['200ms', 200],
    ['30s', 30_000],
    ['1m30s', 90_000],
    ['2h', 7_200_000],
    ['1h1m1s1ms', 3_661_001],
    ['99999h', 99_999 * 3_600_000],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
});

test('what is no duration is refused with the field and the reason', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /not a duration/],
    ['5', /no unit; write 5s or 5ms/],
    ['5m30', /not a duration/],
    ['-1s', /negative/],
    ['1.5s', /fraction/],
    ['1e99s', /not a duration/],
    ['123456s', /five digits/],
    ['1h1h1h1h1h', /not a duration/],
    [' 1s', /not a duration/],
    ['1S', /not a duration/],
    ['9'.repeat(10_000), /…/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseDuration(text, 'spec.idle'),
      (error) => {
        assert.ok(isEtlError(error) && error.code === 'ETL_INVALID_ARGUMENT', text);
        assert.match(error.message, message);
        assert.match(error.message, /^spec\.idle: /);
        assert.ok(error.message.length < 200);
        return true;
      },
    );
  }
});

test('formatting a duration is reversed by parsing it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 99_999 * 3_600_000 }), (ms) => {
      assert.equal(parseDuration(formatDuration(ms)), ms);
    }),
  );
  assert.equal(formatDuration(90_500), '1m30s500ms');
  for (const ms of [-1, 0.5, Number.NaN, 2 ** 53]) assert.throws(() => formatDuration(ms));
});
