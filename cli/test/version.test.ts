import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { productCommit, productVersion } from '../src/version.ts';

const root = new URL('../../', import.meta.url);

test('from source, the version is that of the product and the commit that of the clone', () => {
  const text = readFileSync(new URL('package.json', root), 'utf8');
  assert.equal(productVersion, (JSON.parse(text) as { version: string }).version);
  const commit = existsSync(new URL('.git', root))
    ? execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
    : 'unknown';
  assert.equal(productCommit, commit);
});
