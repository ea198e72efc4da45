// Scenarios as transcripts: what every member does after each command. `node --conditions=etl-source
// router/test/raft/transcripts.test.ts --rewrite` writes them anew; read what changed before it is kept.

import { equal } from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { replay } from './transcript.ts';

const directory = join(import.meta.dirname, 'testdata');
const isRewriting = process.argv.includes('--rewrite');
const files = readdirSync(directory).filter((file) => file.endsWith('.txt'));

test('there are transcripts', () => {
  equal(files.length >= 50, true, `${files.length} in ${directory}`);
});

for (const file of files) {
  test(`transcript ${file}`, () => {
    const path = join(directory, file);
    const text = readFileSync(path, 'utf8');
    const replayed = replay(text);
    if (isRewriting) writeFileSync(path, replayed);
    else equal(replayed, text);
  });
}
