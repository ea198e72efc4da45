// Disks that are full, and power that fails. Each member has a small file system of its own.

import { setTimeout as pause } from 'node:timers/promises';
import { until, within } from './cluster.ts';
import type { Member } from './member.ts';
import { recoveryMaxMs } from './process-scenarios.ts';
import { oneOf, type Scenario, type Stage } from './scenario.ts';
import type { Volumes } from './volumes.ts';

/** So long a disk stays full, at most. */
const fullMs = 4000;
/** And so long a member may take to meet it afterwards. */
const noticeMs = 3000;

export const diskScenarios: readonly Scenario[] = [
  {
    name: 'full-disk-leader',
    about:
      "the leader's disk is full: it ends or waits, another leads, and it comes back when there is room",
    needs: ['disk'],
    run: async (stage) => fillOne(stage, await stage.cluster.leader()),
  },
  {
    name: 'full-disk-follower',
    about:
      "a follower's disk is full: it ends or waits, the others go on, and it comes back when there is room",
    needs: ['disk'],
    run: async (stage) => fillOne(stage, oneOf(stage.random, await stage.cluster.followers())),
  },
  {
    name: 'full-disks',
    about:
      'all disks are full: nothing is answered that is not kept, and all come back when there is room',
    needs: ['disk'],
    run: async (stage) => {
      const { members } = stage.cluster;
      stage.say('all disks are filled');
      for (const member of members) member.expectEnd();
      await Promise.all(members.map(({ number }) => volumesOf(stage).fill(number)));
      await untilEnded(members, fullMs);
      await makeRoom(stage, members);
    },
  },
  {
    name: 'power-loss',
    about: 'all members lose power at once: they go on with what their disks held at that moment',
    needs: ['disk'],
    run: async (stage) => {
      const { members } = stage.cluster;
      const volumes = volumesOf(stage);
      // Nothing is answered any more once they stand still, so whatever was has to be in the copies.
      for (const member of members) member.pause();
      stage.say('the power is lost');
      const mounts = await Promise.all(members.map(({ number }) => volumes.copy(number)));
      await Promise.all(members.map((member) => member.kill()));
      for (const mount of mounts) await mount();
      stage.heal();
      await stage.cluster.start();
    },
  },
];

async function fillOne(stage: Stage, member: Member): Promise<void> {
  const { workload, say } = stage;
  say(`the disk of member ${member.name} is filled`);
  member.expectEnd();
  await volumesOf(stage).fill(member.number);
  const filledMs = performance.now();
  await untilEnded([member], fullMs);
  await workload.writtenAfter(filledMs, recoveryMaxMs);
  await makeRoom(stage, [member]);
}

function volumesOf({ volumes }: Stage): Volumes {
  if (volumes === undefined) throw new Error('this scenario needs volumes');
  return volumes;
}

/** Waits until none of them runs, but not longer: one that writes little may not notice for a while. */
async function untilEnded(members: readonly Member[], maxMs: number): Promise<void> {
  const endMs = performance.now() + maxMs;
  await until(maxMs + recoveryMaxMs, 'the wait is over', async () => {
    await pause(0);
    const isOver = members.every(({ isRunning }) => !isRunning) || performance.now() > endMs;
    return isOver ? true : undefined;
  });
}

function isFailing({ lastWords }: Member): boolean {
  return lastWords.includes('ETL_STORAGE_FAILED');
}

/** Frees the disks, and starts again who ended over them. Whoever ended has to have said why. */
async function makeRoom(stage: Stage, members: readonly Member[]): Promise<void> {
  for (const { number } of members) await volumesOf(stage).free(number);
  stage.heal();
  // A write of rows that found no room is met by whatever comes after it; then a member says so, and closes what it can.
  const noticedMs = performance.now() + noticeMs;
  while (performance.now() < noticedMs && !members.every(isFailing)) await pause(50);
  for (const member of members.filter(isFailing))
    await within(recoveryMaxMs, `the end of member ${member.name}`, member.ending);
  for (const member of members.filter(({ isRunning }) => isRunning)) member.expectLife();
  const ended = members.filter(({ isRunning }) => !isRunning);
  for (const member of ended) {
    const { code, signal } = await member.ending;
    stage.say(`member ${member.name} ended with ${code ?? signal}`);
    if (code !== 1 || !isFailing(member))
      throw new Error(
        `member ${member.name} met a full disk and ended with ${code ?? signal}: ${member.lastWords}`,
      );
  }
  if (ended.length === 0) return;
  stage.heal();
  await stage.cluster.start(ended);
}
