import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@etl-router/core';
import { clockWarnings } from '../src/clock-warnings.ts';

test('a clock that was never set, or decades ahead, is warned about', () => {
  assert.match(
    clockWarnings(0).join(),
    /^the clock of this machine says 1970-01-01T00:00:00\.000Z, which is before this release was made: .* set it, best by NTP$/,
  );
  assert.match(clockWarnings(Date.parse('2099-01-01')).join(), /which is decades away/);
  assert.deepEqual(clockWarnings(Date.parse('2026-11-01T00:00:00Z')), []);
  assert.deepEqual(clockWarnings(systemClock.wallMs()), [], 'of the machine of these tests');
});
