import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatestWrites } from '../../src/cluster/latest.ts';
import type { KubeObject } from '../../src/runtime/kube-object.ts';

function version(resourceVersion: string, uid = 'a'): KubeObject {
  return { apiVersion: 'v1', kind: 'Thing', metadata: { name: 'x', uid, resourceVersion } };
}

test('a cache that shows what was replaced is late, one that shows anything else is right', () => {
  const latest = new LatestWrites<KubeObject>();
  latest.note('x', version('1'), version('2'));
  latest.note('x', version('2'), version('3'));
  for (const old of ['1', '2']) {
    assert.equal(latest.of('x', version(old)).metadata.resourceVersion, '3');
  }
  assert.equal(latest.of('x', version('9')).metadata.resourceVersion, '9');
  assert.equal(latest.of('x', version('1')).metadata.resourceVersion, '1');
});

test('another object of the same name is another one, and a write that changed nothing is none', () => {
  const latest = new LatestWrites<KubeObject>();
  latest.note('x', version('1'), version('2'));
  assert.equal(latest.of('x', version('1', 'b')).metadata.uid, 'b');
  latest.note('y', version('1'), version('1'));
  const cached = version('1');
  assert.equal(latest.of('y', cached), cached);
});
