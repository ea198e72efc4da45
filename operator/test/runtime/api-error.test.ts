// What an answer of the API server means for whoever asked: whether it is worth a second try.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '../../src/runtime/api-error.ts';

const apply = 'apply StatefulSet shop/main';

test('an object that can not be read is refused for good, though the server calls that its own fault', () => {
  for (const what of [
    '.spec.template.spec.affinity.nodeAffinty: field not declared in schema',
    '.spec.template.spec.containers[name="router"].env: duplicate entries for key [name="A"]',
  ]) {
    const message = `failed to create typed patch object (shop/main; apps/v1, Kind=StatefulSet): ${what}`;
    const error = new ApiError(apply, 500, { message, code: 500 });
    assert.deepEqual([error.code, error.retryable], ['ETL_INVALID_ARGUMENT', false]);
    assert.ok(error.message.includes(what));
  }
});

test('any other failure of the server passes', () => {
  for (const [status, message] of [
    [500, 'etcdserver: request timed out'],
    [503, 'apiserver not ready'],
  ] as const) {
    const error = new ApiError(apply, status, { message });
    assert.deepEqual([error.code, error.retryable], ['ETL_UNAVAILABLE', true]);
  }
});
