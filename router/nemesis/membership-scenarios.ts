// Members that are lost for good, because they are taken away or because what they hold is damaged, and those that take
// their place under a new id.

import { cp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { toEtlError } from '@etl-router/core';
import { until, within } from './cluster.ts';
import { damage, type Harm, harms } from './damage.ts';
import type { Member } from './member.ts';
import { recoveryMaxMs } from './process-scenarios.ts';
import { oneOf, type Scenario, type Stage } from './scenario.ts';

/** How a router ends that finds its storage damaged. */
const damagedExitCode = 65;
const refusalMaxMs = 90_000;

export const membershipScenarios: readonly Scenario[] = [
  {
    name: 'replace',
    about: 'another member takes the place of one that runs, the leader or not, under a new id',
    needs: [],
    run: async (stage) => {
      const victim = oneOf(stage.random, stage.cluster.members);
      await replace(stage, victim);
    },
  },
  {
    name: 'damage-log',
    about:
      'a bit, a cut and a removal in the log of a stopped follower: it does not start, and is replaced',
    needs: [],
    run: (stage) => damaging(stage, 'log'),
  },
  {
    name: 'damage-snapshot',
    about:
      'a bit, a cut and a removal in the snapshot of a stopped follower: it does not start, and is replaced',
    needs: [],
    snapshotInterval: 100,
    run: (stage) => damaging(stage, 'snapshots'),
  },
];

async function damaging(stage: Stage, where: 'log' | 'snapshots'): Promise<void> {
  const { cluster, random, say } = stage;
  const victim = oneOf(random, await cluster.followers());
  const harmed = join(victim.dataDirectory, 'router', where);
  await until(2 * recoveryMaxMs, `member ${victim.name} has ${where}`, () => isThere(harmed));
  // The log names a snapshot shortly after the file is there; before that nobody needs it.
  await pause(1000);
  if (random.below(2) === 0) await victim.kill();
  else await victim.stop();
  const data = victim.dataDirectory;
  const whole = join(cluster.folder, 'whole');
  await cp(data, whole, { recursive: true });
  for (const harm of harms) {
    await rm(data, { recursive: true });
    await cp(whole, data, { recursive: true });
    const done = await damage(harmed, harm, random);
    say(`member ${victim.name}: ${done}`);
    await expectRefusal(victim, harm, done);
  }
  await replace(stage, victim);
}

async function isThere(folder: string): Promise<true | undefined> {
  const names = await readdir(folder).catch(() => []);
  return names.some((name) => /\.(snap|log)$/.test(name)) ? true : undefined;
}

/** Starts a member that is damaged: it has to end with the exit code for it, and to say what is damaged. */
async function expectRefusal(victim: Member, harm: Harm, done: string): Promise<void> {
  await victim.start();
  victim.expectEnd();
  const started = victim.ready.then(
    () => true,
    () => false,
  );
  if (await within(refusalMaxMs, `the start after ${harm}`, started)) {
    await victim.kill();
    throw new Error(`member ${victim.name} started although ${done}`);
  }
  const { code } = await victim.ending;
  if (code === damagedExitCode && victim.lastWords.includes('ETL_STORAGE_CORRUPT')) return;
  throw new Error(
    `member ${victim.name} did not start because ${done}, but ended with ${code}: ${victim.lastWords}`,
  );
}

/** Adds a member, lets it vote in the place of another, and takes that one away. */
export async function replace(
  { cluster, random, heal, say }: Stage,
  victim: Member,
): Promise<void> {
  const replacesRaftId = await cluster.raftIdOf(victim.name);
  const number = Math.max(...cluster.members.map((member) => member.number)) + 1;
  const newcomer = cluster.add(number);
  await cluster.start([newcomer]);
  const raftId = await raftIdIn(newcomer.dataDirectory);
  say(`member ${number} takes the place of ${victim.name}`);
  const { name, raftAddress: address } = newcomer;
  await asked(async () => {
    const { admin } = await cluster.leader();
    await admin.addLearner({ name, raftId, address }, { deadlineMs: 3000 });
  });
  await asked(async () => {
    const { admin } = await cluster.leader();
    await admin.promoteMember({ raftId, replacesRaftId }, { deadlineMs: 3000 });
  });
  say(`member ${number} votes`);
  // Clients go on asking it, and are told nothing that is not so.
  await pause(random.below(1000));
  heal();
  await victim.kill();
  cluster.forget(victim);
}

/** Asks again while the answer is that it can not be done yet; a change that was made already is none. */
async function asked(work: () => Promise<void>): Promise<void> {
  let last = '';
  const isDone = async (): Promise<true | undefined> => {
    try {
      await work();
      return true;
    } catch (error) {
      last = toEtlError(error).message;
      return undefined;
    }
  };
  await until(2 * recoveryMaxMs, 'the members are changed', isDone).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}: ${last}`);
  });
}

/** As an operator reads it off `etlctl cluster status` of the new member. */
async function raftIdIn(dataDirectory: string): Promise<bigint> {
  const text = await readFile(join(dataDirectory, 'router', 'identity.json'), 'utf8');
  return BigInt((JSON.parse(text) as { readonly nodeId: number }).nodeId);
}
