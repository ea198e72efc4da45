import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isNobody } from '../../src/config/parse.ts';

for (const [address, expected] of [
  ['nobody.invalid:50052', true],
  ['NoBody.INVALID:50052', true],
  ['nobody.at-all.invalid:1', true],
  ['nobody.invalid.:1', true],
  ['invalid:1', true],
  ['invalid.example:1', false],
  ['x.invalid.example:1', false],
  ['xinvalid:1', false],
  ['127.0.0.1:1', false],
  ['[::1]:1', false],
] as const)
  test(`a peer at ${address} is ${expected ? 'nobody' : 'somebody'}`, () => {
    assert.equal(isNobody(address), expected);
  });
