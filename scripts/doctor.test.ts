// What the operator may say of a cluster, and what doctor and the docs have to say about it, stay together.

import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { adviceOn } from '../cli/src/doctor/advice.ts';
import { conditionReasons } from '../operator/src/cluster/conditions.ts';

/** Reasons after which nothing is to be done. Ready has none of its own: it repeats what the others say. */
const quiet = [
  ...['Accepted Accepted', 'Available QuorumAvailable', 'Degraded AllMembersWork'],
  ...[
    'Degraded Forbidden',
    'Degraded Founding',
    'CertificatesReady Valid',
    'ReconciliationPaused Active',
  ],
  ...['UpToDate', 'Halted', 'Founding', 'ScalingOut', 'ScalingIn', 'RollingOut', 'ReplacingMember']
    .concat(['Recovering', 'WaitingForMembers', 'Forbidden'])
    .map((reason) => `Progressing ${reason}`),
];

const reasons = Object.entries(conditionReasons).flatMap(([type, all]) =>
  type === 'Ready' ? [] : all.map((reason) => ({ type, reason })),
);

test('doctor has advice on every reason that calls for something, and on no other', () => {
  for (const { type, reason } of reasons) {
    const isQuiet = quiet.includes(`${type} ${reason}`);
    assert.equal(adviceOn(type, reason) === undefined, isQuiet, `${type} ${reason}`);
  }
});

test('the docs have a line for every such reason', () => {
  const page = readFileSync('docs/guides/troubleshooting.md', 'utf8');
  const missing = reasons.filter(
    ({ type, reason }) => adviceOn(type, reason) !== undefined && !page.includes(reason),
  );
  assert.deepEqual(missing, []);
});

test('the sections that doctor and conditions send people to exist', () => {
  const advice = reasons.map(({ type, reason }) => adviceOn(type, reason)?.what ?? '');
  const sources = globSync('{operator,cli}/src/**/*.ts').map((file) => readFileSync(file, 'utf8'));
  const [ofAdvice = [], ofSources = []] = [advice, sources].map((texts) =>
    texts.flatMap((text) => Array.from(text.matchAll(/(docs\/[\w/-]+\.md), "([^"]+)"/g))),
  );
  assert.ok(ofAdvice.length > 0 && ofSources.length > 5);
  const sent = [...ofAdvice, ...ofSources];
  for (const [, page = '', title = ''] of sent)
    assert.ok(readFileSync(page, 'utf8').includes(`\n## ${title}\n`), `${page}: ${title}`);
});
