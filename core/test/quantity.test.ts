import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatQuantity, isEtlError, parseQuantity } from '@etl-router/core';
import fc from 'fast-check';

test('quantities are numbers with a power of 1000 or 1024', () => {
  const cases: readonly (readonly [string | number, number])[] = [
    ['0', 0],
    [500, 500],
    ['64Mi', 64 * 1024 ** 2],
    ['1.5Gi', 1.5 * 1024 ** 3],
    ['2M', 2_000_000],
    ['3k', 3000],
    ['1Ki', 1024],
    ['20Gi', 20 * 1024 ** 3],
    ['1e3', 1000],
    ['0.5Ki', 512],
  ];
  for (const [text, bytes] of cases) assert.equal(parseQuantity(text), bytes, String(text));
});

test('what is no whole number of bytes is refused with the field and the reason', () => {
  const cases: readonly (readonly [string | number, RegExp])[] = [
    ['', /not a size/],
    ['10MB', /not a size/],
    ['10MiB', /not a size/],
    ['64mi', /not a size/],
    ['1ki', /write Ki/],
    ['-1', /not a size/],
    ['0.1', /whole number/],
    ['500m', /not a size/],
    ['9Ei', /above/],
    [0.5, /whole number/],
    [-1, /not a size/],
    [Number.NaN, /not a size/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseQuantity(text, 'spec.limits.inFlightBytes'),
      (error) => {
        assert.ok(isEtlError(error) && error.code === 'ETL_INVALID_ARGUMENT', String(text));
        assert.match(error.message, message);
        assert.match(error.message, /^spec\.limits\.inFlightBytes: /);
        return true;
      },
    );
  }
});

test('formatting a size is reversed by parsing it', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger().map(Math.abs), (bytes) => {
      assert.equal(parseQuantity(formatQuantity(bytes)), bytes);
    }),
  );
  assert.equal(formatQuantity(64 * 1024 * 1024), '64Mi');
  assert.equal(formatQuantity(1000), '1000');
  assert.throws(() => formatQuantity(-1));
});
