// Networks that drop what some members send to some others. Clients reach every member all the time, so a leader that
// is cut off is asked too.

import { setTimeout as pause } from 'node:timers/promises';
import type { Cluster } from './cluster.ts';
import type { Member } from './member.ts';
import { between, oneOf, type Scenario, type Stage } from './scenario.ts';

type Edge = readonly [from: Member, to: Member];

export const networkScenarios: readonly Scenario[] = [
  partition('isolate-leader', 'the leader and the others hear nothing of each other', (stage) =>
    isolating(stage, leader(stage), ['in', 'out']),
  ),
  partition('isolate-follower', 'a follower and the others hear nothing of each other', (stage) =>
    isolating(stage, follower(stage), ['in', 'out']),
  ),
  partition('deaf-leader', 'the leader hears nobody, the others hear it', (stage) =>
    isolating(stage, leader(stage), ['in']),
  ),
  partition('mute-leader', 'nobody hears the leader, it hears the others', (stage) =>
    isolating(stage, leader(stage), ['out']),
  ),
  partition('deaf-follower', 'a follower hears nobody, the others hear it', (stage) =>
    isolating(stage, follower(stage), ['in']),
  ),
  partition('mute-follower', 'nobody hears a follower, it hears the others', (stage) =>
    isolating(stage, follower(stage), ['out']),
  ),
  partition('ring', 'each member reaches its two neighbours only; of three, one pair is cut', ring),
  partition('split', 'a minority with the leader and the others hear nothing of each other', split),
];

function partition(
  name: string,
  about: string,
  edges: (stage: Stage) => Promise<readonly Edge[]>,
): Scenario {
  return {
    name,
    about,
    needs: ['netns'],
    run: async (stage) => {
      const { cluster, random, heal, say } = stage;
      const blocked = await edges(stage);
      const lastsMs = between(random, 1500, 5000);
      say(
        `dropped for ${lastsMs} ms: ${blocked.map(([from, to]) => `${from.name}→${to.name}`).join(' ')}`,
      );
      for (const [from, to] of blocked) await cluster.hosts.block(from.number, to.number);
      await pause(lastsMs);
      await cluster.hosts.heal();
      heal();
    },
  };
}

function leader({ cluster }: Stage): Promise<Member> {
  return cluster.leader();
}

async function follower({ cluster, random }: Stage): Promise<Member> {
  return oneOf(random, await cluster.followers());
}

async function isolating(
  { cluster }: Stage,
  chosen: Promise<Member>,
  directions: readonly ('in' | 'out')[],
): Promise<readonly Edge[]> {
  const member = await chosen;
  const others = cluster.members.filter((other) => other !== member);
  return others.flatMap((other): readonly Edge[] => [
    ...(directions.includes('in') ? [[other, member] as const] : []),
    ...(directions.includes('out') ? [[member, other] as const] : []),
  ]);
}

async function ring({ cluster, random }: Stage): Promise<readonly Edge[]> {
  const inOrder = shuffled(cluster, random);
  const count = inOrder.length;
  const cut: Edge[] = [];
  for (const [at, one] of inOrder.entries()) {
    for (const [place, other] of inOrder.entries()) {
      const apart = Math.min((place - at + count) % count, (at - place + count) % count);
      const isCut = count > 3 ? apart > 1 : at + place === 1;
      if (isCut && at !== place) cut.push([one, other]);
    }
  }
  return await Promise.resolve(cut);
}

async function split(stage: Stage): Promise<readonly Edge[]> {
  const { cluster, random } = stage;
  const led = await cluster.leader();
  const others = shuffled(cluster, random).filter((member) => member !== led);
  const few = [led, ...others.slice(0, Math.floor((cluster.members.length - 1) / 2) - 1)];
  const many = others.filter((member) => !few.includes(member));
  return few.flatMap((one) =>
    many.flatMap((other): readonly Edge[] => [
      [one, other],
      [other, one],
    ]),
  );
}

function shuffled({ members }: Cluster, random: Stage['random']): readonly Member[] {
  return members
    .map((member) => [random.next(), member] as const)
    .toSorted(([a], [b]) => a - b)
    .map(([, member]) => member);
}
