// The commands of dead letters.

import type { Command } from 'commander';
import { type Example, type Explanation, renderExamples } from '../help.ts';
import type { Verbs } from '../program.ts';

const pipeline = 'name or namespace/name of the pipeline';

const listHelp: Explanation = {
  summary: 'list dead letters, grouped by cause',
  about: `A cause is a stage and an error code; EXAMPLE is the id of the latest dead letter of it. --all and
-o wide list every one.`,
  examples: [
    { why: 'What fails, and how often', line: 'etlctl dlq ls orders -n shop' },
    {
      why: 'Every record that failed at one stage',
      line: 'etlctl dlq ls orders -n shop --stage number --all',
    },
    {
      why: 'Their ids, for scripts',
      line: 'etlctl dlq ls orders -n shop --code CAST_FAILED -o name',
    },
  ],
  exits: ['0', '1', '2', '4', '124', '128+n'],
  outputs: ['table', 'wide', 'json', 'yaml', 'name'],
};

const showHelp: Explanation = {
  summary: 'show one dead letter with its payload',
  about: 'Of the payload, the first 64 KiB are shown.',
  examples: [{ why: 'By an id of dlq ls', line: 'etlctl dlq show orders 0198c2d1 -n shop' }],
  exits: ['0', '1', '2', '4', '124', '128+n'],
  outputs: ['table', 'json', 'yaml'],
};

const actionHelp: { readonly [verb in 'redrive' | 'discard']: Explanation } = {
  redrive: {
    summary: 'send dead letters again, from the stage they failed at, with the ids they had',
    about: `Say which: ids, --stage, --code, or --all. A record comes after those that overtook it.

After a fix by apply, see first that the pipeline runs with it: apply answers when the change is
stored, and a sidecar takes it a moment later. In describe pipeline, the EPOCH of the lanes goes up
when it has; what is sent again before that meets the old version.`,
    examples: [
      { why: 'How many would be sent', line: 'etlctl dlq redrive orders -n shop --all --dry-run' },
      {
        why: 'Those of one cause',
        line: 'etlctl dlq redrive orders -n shop --stage number --code CAST_FAILED',
      },
      { why: 'One record', line: 'etlctl dlq redrive orders 0198c2d1 -n shop' },
    ],
    exits: ['0', '1', '2', '4', '124', '128+n'],
    outputs: ['table', 'json'],
  },
  discard: {
    summary: 'give dead letters up for good',
    about:
      'Say which: ids, --stage, --code, or --all. There is no way back; dlq ls -o json keeps a copy.',
    examples: [
      { why: 'How many would be lost', line: 'etlctl dlq discard orders -n shop --all --dry-run' },
      { why: 'One record', line: 'etlctl dlq discard orders 0198c2d1 -n shop' },
    ],
    exits: ['0', '1', '2', '4', '124', '128+n'],
    outputs: ['table', 'json'],
  },
};

function addFilters(command: Command): Command {
  return command
    .option('--stage <name>', 'only those that failed at this stage')
    .option('--code <code>', 'only those with this error code');
}

function addList({ add, act, io }: Verbs, dlq: Command): void {
  addFilters(add(dlq, 'ls', listHelp))
    .argument('<pipeline>', pipeline)
    .option('--all', 'one line for each record instead of each cause')
    .option('--limit <count>', 'at most so many records, 1 to 1000000', '1000')
    .action(
      async (
        name: string,
        flags: { stage?: string; code?: string; all?: boolean; limit: string },
        command: Command,
      ) =>
        act(
          command,
          listHelp,
          async (globals) =>
            (await import('../commands/dlq.ts')).listDeadLetters({
              pipeline: name,
              flags,
              globals,
              io,
            }),
          'printed',
        ),
    );
}

function addShow({ add, act, io }: Verbs, dlq: Command): void {
  add(dlq, 'show', showHelp)
    .argument('<pipeline>', pipeline)
    .argument('<id>', 'id of a dead letter, as dlq ls shows it')
    .action(async (name: string, id: string, _flags: object, command: Command) =>
      act(
        command,
        showHelp,
        async (globals) =>
          (await import('../commands/dlq.ts')).showDeadLetter({ pipeline: name, id, globals, io }),
        'printed',
      ),
    );
}

function addAction({ add, act, io }: Verbs, dlq: Command, verb: 'redrive' | 'discard'): void {
  addFilters(add(dlq, verb, actionHelp[verb]))
    .argument('<pipeline>', pipeline)
    .argument('[ids...]', 'ids of dead letters, as dlq ls shows them')
    .option('--all', 'every dead letter of the pipeline')
    .option('--dry-run', 'only say how many')
    .action(
      async (
        name: string,
        ids: string[],
        flags: { stage?: string; code?: string; all?: boolean; dryRun?: boolean },
        command: Command,
      ) =>
        act(command, actionHelp[verb], async (globals) =>
          (await import('../commands/dlq.ts')).actOnDeadLetters({
            verb,
            pipeline: name,
            ids,
            flags,
            globals,
            io,
          }),
        ),
    );
}

/** The way of most: see the causes, look at one, mend it, send them again. */
const groupExamples: readonly Example[] = [
  { why: 'What fails, by cause', line: 'etlctl dlq ls orders -n shop' },
  { why: 'One record with its payload', line: 'etlctl dlq show orders 0198c2d1 -n shop' },
  { why: 'Again, once the cause is mended', line: 'etlctl dlq redrive orders -n shop --all' },
];

export function addDeadLetterVerbs(verbs: Verbs): void {
  const dlq = verbs.program
    .command('dlq')
    .summary('dead letters: ls, show, redrive, discard')
    .description('Dead letters: records that could not be processed, kept with the reason.')
    .addHelpText('after', `\n${renderExamples(groupExamples)}`)
    .showHelpAfterError('(such as etlctl dlq ls PIPELINE; see etlctl dlq --help)');
  addList(verbs, dlq);
  addShow(verbs, dlq);
  addAction(verbs, dlq, 'redrive');
  addAction(verbs, dlq, 'discard');
}
