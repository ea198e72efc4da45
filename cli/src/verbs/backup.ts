// The commands of backups.

import { type Command, Option } from 'commander';
import { type Example, type Explanation, renderExamples } from '../help.ts';
import type { Verbs } from '../program.ts';

const folderFlag = 'folder or file:// URL of the backups';

const createHelp: Explanation = {
  summary: 'keep the state of a router as a backup',
  about: `A backup holds all that was committed when it was asked for: objects, positions, epochs and groups, never
records. Any member of the cluster can be asked; it needs a majority to be sure that it knows all.`,
  examples: [
    { why: 'In the folder backups', line: 'etlctl backup create --dest backups' },
    {
      why: 'Under a name, in place of the one that has it',
      line: 'etlctl backup create --dest backups --id nightly --force',
    },
  ],
  exits: ['0', '1', '2', '4', '5', '124', '128+n'],
  outputs: ['table', 'json'],
};

const listHelp: Explanation = {
  summary: 'list the backups of a folder',
  about: 'The newest first. No router is asked.',
  examples: [
    { why: 'The latest 20', line: 'etlctl backup list --dest backups' },
    { why: 'The name of the newest', line: 'etlctl backup list --dest backups --limit 1 -o name' },
  ],
  exits: ['0', '1', '2', '4', '128+n'],
  outputs: ['table', 'json', 'yaml', 'name'],
};

const describeHelp: Explanation = {
  summary: 'show a backup, and prove that it is whole',
  about: 'All of it is read and held against its SHA-256. No router is asked.',
  examples: [{ why: 'One', line: 'etlctl backup describe nightly --source backups' }],
  exits: ['0', '1', '2', '4', '128+n'],
  outputs: ['table', 'json', 'yaml'],
};

const restoreHelp: Explanation = {
  summary: 'put a backup in place of the state of a cluster',
  about: `Objects, positions and groups become those of the backup, on every member at once or not at all. Epochs
leap, so whoever ran a pipeline before is refused and pipelines are assigned anew. Members, registered
services and sidecars stay. Takes a name that is typed, or --yes together with --cluster-id, which
etlctl cluster status shows. For a large state give more time with --timeout.`,
  examples: [
    {
      why: 'Whether it could be',
      line: 'etlctl backup restore nightly --source backups --validate-only',
    },
    {
      why: 'Asks for the id of the cluster',
      line: 'etlctl backup restore nightly --source backups',
    },
    {
      why: 'In a script',
      line: 'etlctl backup restore nightly --source backups --yes --cluster-id 3f9c02d1a7b64e08',
    },
  ],
  exits: ['0', '1', '2', '3', '4', '5', '124', '128+n'],
  outputs: ['table', 'json'],
};

const deleteHelp: Explanation = {
  summary: 'delete a backup',
  about: 'Asks first, unless --force or --yes is given. No router is asked.',
  examples: [{ why: 'One', line: 'etlctl backup delete nightly --dest backups' }],
  exits: ['0', '1', '2', '4', '128+n'],
  outputs: ['table', 'json'],
};

const cleanupHelp: Explanation = {
  summary: 'delete all backups of a folder but the newest',
  about: 'Asks first, unless --yes is given. No router is asked.',
  examples: [{ why: 'All but three', line: 'etlctl backup cleanup --dest backups --keep 3 --yes' }],
  exits: ['0', '1', '2', '4', '128+n'],
  outputs: ['table', 'json'],
};

interface CreateFlags {
  readonly dest: string;
  readonly id?: string;
  readonly compression: string;
  readonly force?: boolean;
}

interface RestoreFlags {
  readonly source: string;
  readonly validateOnly?: boolean;
  readonly yes?: boolean;
  readonly clusterId?: string;
  readonly allowOtherCluster?: boolean;
}

function addCreate({ add, act, io }: Verbs, backup: Command): void {
  add(backup, 'create', createHelp)
    .requiredOption('-d, --dest <folder>', folderFlag)
    .option('--id <name>', 'its name (default: made from the time)')
    .addOption(
      new Option('-c, --compression <kind>', 'how its bytes are kept')
        .choices(['zstd', 'gzip', 'none'])
        .default('zstd'),
    )
    .option('--force', 'replace a backup of that name')
    .action(async (flags: CreateFlags, command: Command) =>
      act(command, createHelp, async (globals) =>
        (await import('../commands/backup.ts')).createBackup({
          ...{ globals, io, dest: flags.dest, compression: flags.compression },
          ...{ id: flags.id, force: flags.force === true },
        }),
      ),
    );
}

function addViews({ add, act, io }: Verbs, backup: Command): void {
  add(backup, 'list', listHelp)
    .requiredOption('-d, --dest <folder>', folderFlag)
    .option('-l, --limit <count>', 'at most so many', '20')
    .action(async (flags: { dest: string; limit: string }, command: Command) =>
      act(
        command,
        listHelp,
        async (globals) =>
          (await import('../commands/backup.ts')).showBackups({ ...flags, globals, io }),
        'printed',
      ),
    );
  add(backup, 'describe', describeHelp)
    .argument('<id>', 'name of a backup')
    .requiredOption('--source <folder>', folderFlag)
    .action(async (id: string, { source }: { source: string }, command: Command) =>
      act(
        command,
        describeHelp,
        async (globals) =>
          (await import('../commands/backup.ts')).describeBackup({ id, source, globals, io }),
        'printed',
      ),
    );
}

function addRestore({ add, act, io }: Verbs, backup: Command): void {
  add(backup, 'restore', restoreHelp)
    .argument('<id>', 'name of a backup')
    .requiredOption('--source <folder>', folderFlag)
    .option('--validate-only', 'only say whether it could be restored')
    .option('--allow-other-cluster', 'also a backup of another cluster')
    .option('--cluster-id <id>', 'the cluster whose state is replaced')
    .option('-y, --yes', 'do not ask; needs --cluster-id')
    .action(async (id: string, flags: RestoreFlags, command: Command) =>
      act(command, restoreHelp, async (globals) =>
        (await import('../commands/backup.ts')).restoreBackup({
          ...{ id, globals, io, source: flags.source, clusterId: flags.clusterId },
          validateOnly: flags.validateOnly === true,
          yes: flags.yes === true,
          allowOtherCluster: flags.allowOtherCluster === true,
        }),
      ),
    );
}

function addRemovals({ add, act, io }: Verbs, backup: Command): void {
  add(backup, 'delete', deleteHelp)
    .argument('<id>', 'name of a backup')
    .requiredOption('-d, --dest <folder>', folderFlag)
    .option('-f, --force', 'do not ask')
    .option('-y, --yes', 'do not ask')
    .action(
      async (
        id: string,
        { dest, force, yes }: { dest: string; force?: boolean; yes?: boolean },
        command: Command,
      ) =>
        act(command, deleteHelp, async (globals) =>
          (await import('../commands/backup.ts')).removeBackup({
            ...{ id, dest, globals, io, yes: yes === true || force === true },
          }),
        ),
    );
  add(backup, 'cleanup', cleanupHelp)
    .requiredOption('-d, --dest <folder>', folderFlag)
    .option('-k, --keep <count>', 'so many stay', '10')
    .option('-y, --yes', 'do not ask')
    .action(
      async (
        { dest, keep, yes }: { dest: string; keep: string; yes?: boolean },
        command: Command,
      ) =>
        act(command, cleanupHelp, async (globals) =>
          (await import('../commands/backup.ts')).cleanUpBackups({
            ...{ dest, keep, globals, io, yes: yes === true },
          }),
        ),
    );
}

/** From a backup to the state as it was. */
const groupExamples: readonly Example[] = [
  { why: 'Keep the state', line: 'etlctl backup create --dest backups --id before-upgrade' },
  { why: 'What there is', line: 'etlctl backup list --dest backups' },
  { why: 'Back to it', line: 'etlctl backup restore before-upgrade --source backups' },
];

export function addBackupVerbs(verbs: Verbs): void {
  const backup = verbs.program
    .command('backup')
    .summary('backups of the state: create, list, describe, restore, delete, cleanup')
    .description('Backups of the state of a router: made, kept in a folder, and restored.')
    .addHelpText('after', `\n${renderExamples(groupExamples)}`)
    .showHelpAfterError('(such as etlctl backup create --dest backups; see etlctl backup --help)');
  addCreate(verbs, backup);
  addViews(verbs, backup);
  addRestore(verbs, backup);
  addRemovals(verbs, backup);
}
