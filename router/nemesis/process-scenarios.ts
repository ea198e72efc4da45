// Processes that are killed, stopped for a while, or hand leadership over.

import { setTimeout as pause } from 'node:timers/promises';
import { between, oneOf, type Scenario, type Stage } from './scenario.ts';

const killsPerRun = 3;
const transfersPerRun = 4;
/** A cluster has to be well again within this time, unless a run says otherwise. */
export const recoveryMaxMs = 10_000;

export const processScenarios: readonly Scenario[] = [
  {
    name: 'kill-leader',
    about: 'SIGKILL of the leader, restart, three times',
    needs: [],
    run: async (stage) => {
      for (let kill = 0; kill < killsPerRun; kill++) await killLeader(stage);
    },
  },
  {
    name: 'kill-follower',
    about: 'SIGKILL of a follower, restart',
    needs: [],
    run: async ({ cluster, random, heal, say }) => {
      const member = oneOf(random, await cluster.followers());
      say(`kill -9 of follower ${member.name}`);
      await member.kill();
      await pause(between(random, 200, 2500));
      heal();
      await cluster.start([member]);
    },
  },
  {
    name: 'kill-all',
    about: 'SIGKILL of every member within 300 ms, restart of all',
    needs: [],
    run: async ({ cluster, random, heal, say }) => {
      say('kill -9 of all');
      await Promise.all(
        cluster.members.map(async (member) => {
          await pause(random.below(300));
          await member.kill();
        }),
      );
      await pause(random.below(500));
      heal();
      await cluster.start();
    },
  },
  {
    name: 'pause-leader',
    about: 'SIGSTOP of the leader for 0.5 to 10 s, mostly below 4, then SIGCONT',
    needs: [],
    run: async ({ cluster, random, heal, say }) => {
      const leader = await cluster.leader();
      const pausedMs =
        random.below(5) === 0 ? between(random, 4000, 10_000) : between(random, 500, 4000);
      say(`leader ${leader.name} stands still for ${pausedMs} ms`);
      leader.pause();
      await pause(pausedMs);
      leader.resume();
      heal();
    },
  },
  {
    name: 'transfer',
    about: 'leadership is handed over, four times',
    needs: [],
    run: async (stage) => {
      for (let transfer = 0; transfer < transfersPerRun; transfer++)
        await transferLeadership(stage);
    },
  },
];

async function killLeader(stage: Stage): Promise<void> {
  const { cluster, workload, random, recoveryMaxMs: maxMs, measured, heal, say } = stage;
  await cluster.healthy(maxMs);
  const leader = await cluster.leader();
  say(`kill -9 of leader ${leader.name}`);
  const killedMs = performance.now();
  await leader.kill();
  const { answeredMs } = await workload.writtenAfter(killedMs, maxMs);
  measured.failoverMs.push(answeredMs - killedMs);
  say(`a write was answered after ${Math.round(answeredMs - killedMs)} ms`);
  await pause(random.below(500));
  heal();
  await cluster.start([leader]);
}

async function transferLeadership(stage: Stage): Promise<void> {
  const { cluster, workload, random, recoveryMaxMs: maxMs, measured, heal, say } = stage;
  await cluster.healthy(maxMs);
  const leader = await cluster.leader();
  const target = oneOf(random, await cluster.followers());
  const toRaftId = await cluster.raftIdOf(target.name);
  say(`leader ${leader.name} hands over to ${target.name}`);
  const askedMs = performance.now();
  await leader.admin.transferLeadership({ toRaftId }, { deadlineMs: maxMs });
  const toldMs = performance.now();
  await pause(1000);
  const gapMs = workload.longestGapMs(askedMs, toldMs + 500);
  measured.transferMs.push(gapMs);
  say(
    `told after ${Math.round(toldMs - askedMs)} ms; no write was answered for ${Math.round(gapMs)} ms`,
  );
  heal();
}
