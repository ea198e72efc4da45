// A member whose rows are not those of the others, over sockets and disks: it stops, stays stopped, and harms nobody.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LevelStore } from '../src/applied/level-store.ts';
import { Cluster } from './cluster.ts';
import { allText } from './server/harness.ts';

test('a member that lost a row unseen stops at the next comparison and does not start again', async (context) => {
  const cluster = await Cluster.make(context, 3);
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  const [first, led] = await cluster.leader();
  await led.router.objects.applyText(allText);
  const spoilt = first === 3 ? 2 : 3;
  await cluster.stop(spoilt);
  await loseRow(`${cluster.dataOf(spoilt)}/router/applied`);
  const damaged = await cluster.start(spoilt);
  const [, leads] = await cluster.leader();
  await leads.router.digestRounds.ask();
  const failure = await damaged.failed;
  assert.equal(failure.code, 'ETL_STATE_DIVERGED');
  await cluster.stop(spoilt);
  await assert.rejects(cluster.start(spoilt), { code: 'ETL_STATE_DIVERGED' });

  await leads.router.objects.applyText(allText.replace('in.jsonl', 'new.jsonl'));
  const status = leads.router.cluster();
  assert.equal(status.divergedMembers, 1);
  assert(status.checkedIndex > 0);
  const [problem] = leads.router.problems.list();
  assert.equal(problem?.code, 'ETL_STATE_DIVERGED');
  assert.match(problem?.message ?? '', /another state than a majority at entry \d+/);
});

/** What a disk or a defect could do: a row is gone, and everything else says that all is well. */
async function loseRow(directory: string): Promise<void> {
  const store = await LevelStore.open(directory);
  assert.equal(store.origin, 'kept');
  const row = (await store.load()).find(([key]) => key[0] === 'a'.charCodeAt(0));
  assert(row !== undefined);
  await store.apply([{ key: row[0], value: undefined }], store.applied);
  await store.close();
}
