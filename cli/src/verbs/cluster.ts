// The commands of the cluster and its members.

import type { Command } from 'commander';
import { type Example, type Explanation, renderExamples } from '../help.ts';
import type { Verbs } from '../program.ts';

const memberArgument = 'name, Raft id or pod of a member';

const statusHelp: Explanation = {
  summary: 'show how the cluster does, as the router that is asked sees it',
  about: `Health is healthy, degraded (a member is away or behind), unhealthy (no leader is known), or unknown:
the router that was asked does not lead, and only the leader hears of all. In Kubernetes (--cluster)
every router is asked for its own word: LAG is what the leader knows a member to lack, and health
is healthy, behind, waiting (to be added), outside (no member: removed, or not added yet), away (from
the leader) or silent (no answer).`,
  examples: [
    {
      why: 'Every router of a cluster in Kubernetes',
      line: 'etlctl cluster status --cluster shop/main',
    },
    { why: 'Of the router at hand', line: 'etlctl cluster status' },
    { why: 'For a script', line: 'etlctl cluster status -o json' },
  ],
  exits: ['0', '1', '2', '124', '128+n'],
  outputs: ['table', 'json', 'yaml'],
};

const membersHelp: Explanation = {
  summary: 'list the members of the cluster',
  about: `MATCH is the last entry of the log that a member is known to hold. Only the leader knows it of the
others, and whether they are healthy; a router that does not lead shows - instead. RAFT is where the
other members reach it, GRPC and HTTP where clients do, as far as it has told.`,
  examples: [
    { why: 'All of them', line: 'etlctl cluster members' },
    { why: 'Their names, for scripts', line: 'etlctl cluster members -o name' },
  ],
  exits: ['0', '1', '2', '124', '128+n'],
  outputs: ['table', 'json', 'yaml', 'name'],
};

const addHelp: Explanation = {
  summary: 'add a member as a learner',
  about: `A learner receives the log and does not vote; promote it when it keeps up. Start it first, with the
members there are as its --peers; etlctl cluster status --server of it shows its Raft id. Changes of
members are made by the leader: any router that knows it says where it is, and it is asked there. A member that is added again under another address has moved there.`,
  examples: [
    {
      why: 'Its name, and where its Raft port is reached',
      line: 'etlctl cluster add 4 10.0.0.4:50052 --raft-id 3941820377410',
    },
  ],
  exits: ['0', '1', '2', '5', '124', '128+n'],
  outputs: ['table', 'json'],
};

const promoteHelp: Explanation = {
  summary: 'let a learner vote',
  about: `Refused (exit code 3) while the learner lacks more than 1,000 entries or is not heard of. With
--replaces a voter is removed in the same step, so that the cluster is never larger or smaller.`,
  examples: [
    { why: 'One voter more', line: 'etlctl cluster promote 4' },
    { why: 'In the place of one that is lost', line: 'etlctl cluster promote 4 --replaces 2' },
  ],
  exits: ['0', '1', '2', '3', '4', '5', '124', '128+n'],
  outputs: ['table', 'json'],
};

const removeHelp: Explanation = {
  summary: 'remove a member for good',
  about: `There is no way back: a member that is to return gets an empty data directory, and with it a new Raft
id. Refused (exit code 3) where fewer voters would be healthy than a majority needs, unless forced;
the last voter always stays. On a terminal it is asked first; elsewhere --yes says so beforehand.`,
  examples: [
    { why: 'One that is lost', line: 'etlctl cluster remove 2' },
    { why: 'In a script', line: 'etlctl cluster remove 2 --yes' },
  ],
  exits: ['0', '1', '2', '3', '4', '5', '124', '128+n'],
  outputs: ['table', 'json'],
};

const transferHelp: Explanation = {
  summary: 'hand leadership to another voter',
  about: 'Without a name, to the healthy one that is furthest. Nothing that was answered is lost.',
  examples: [
    { why: 'Before the leader is stopped', line: 'etlctl cluster transfer' },
    { why: 'To a certain one', line: 'etlctl cluster transfer 3' },
    { why: 'To a certain pod', line: 'etlctl cluster transfer main-3 -n shop' },
  ],
  exits: ['0', '1', '2', '3', '4', '124', '128+n'],
  outputs: ['table', 'json'],
};

function addViews({ add, act, io }: Verbs, cluster: Command): void {
  add(cluster, 'status', statusHelp).action(async (_flags: object, command: Command) =>
    act(
      command,
      statusHelp,
      async (globals) => (await import('../commands/cluster.ts')).showStatus({ globals, io }),
      'printed',
    ),
  );
  add(cluster, 'members', membersHelp).action(async (_flags: object, command: Command) =>
    act(
      command,
      membersHelp,
      async (globals) => (await import('../commands/cluster.ts')).listMembers({ globals, io }),
      'printed',
    ),
  );
}

function addGrowth({ add, act, io }: Verbs, cluster: Command): void {
  add(cluster, 'add', addHelp)
    .argument('<name>', 'its name, as its --node-id says')
    .argument('<address>', 'host:port where its Raft port is reached')
    .requiredOption('--raft-id <id>', 'its Raft id, as cluster status of it shows')
    .action(async (name: string, address: string, flags: { raftId: string }, command: Command) =>
      act(command, addHelp, async (globals) =>
        (await import('../commands/cluster.ts')).addMember({
          ...{ name, address, raftId: flags.raftId, globals, io },
        }),
      ),
    );
  add(cluster, 'promote', promoteHelp)
    .argument('<member>', memberArgument)
    .option('--replaces <member>', 'a voter that is removed in the same step')
    .action(async (member: string, { replaces }: { replaces?: string }, command: Command) =>
      act(command, promoteHelp, async (globals) =>
        (await import('../commands/cluster.ts')).promoteMember({ member, replaces, globals, io }),
      ),
    );
}

function addRest({ add, act, io }: Verbs, cluster: Command): void {
  add(cluster, 'remove', removeHelp)
    .argument('<member>', memberArgument)
    .option('--force', 'also where fewer voters would be healthy than a majority needs')
    .option('-y, --yes', 'do not ask')
    .action(async (member: string, flags: { force?: boolean; yes?: boolean }, command: Command) =>
      act(command, removeHelp, async (globals) =>
        (await import('../commands/cluster.ts')).removeMember({
          ...{ member, force: flags.force === true, yes: flags.yes === true, globals, io },
        }),
      ),
    );
  add(cluster, 'transfer', transferHelp)
    .argument('[member]', memberArgument)
    .action(async (member: string | undefined, _flags: object, command: Command) =>
      act(command, transferHelp, async (globals) =>
        (await import('../commands/cluster.ts')).transferLeadership({ member, globals, io }),
      ),
    );
}

/** How a member that is lost is replaced. */
const groupExamples: readonly Example[] = [
  { why: 'Who is away', line: 'etlctl cluster members' },
  {
    why: 'Another one, which first catches up',
    line: 'etlctl cluster add 4 10.0.0.4:50052 --raft-id 3941820377410',
  },
  { why: 'It takes the place of the lost one', line: 'etlctl cluster promote 4 --replaces 2' },
];

export function addClusterVerbs(verbs: Verbs): void {
  const cluster = verbs.program
    .command('cluster')
    .summary('members: status, members, add, promote, remove, transfer')
    .description('The cluster: its members, how they do, and who leads.')
    .addHelpText('after', `\n${renderExamples(groupExamples)}`)
    .showHelpAfterError('(such as etlctl cluster members; see etlctl cluster --help)');
  addViews(verbs, cluster);
  addGrowth(verbs, cluster);
  addRest(verbs, cluster);
}
