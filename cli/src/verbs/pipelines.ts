// The commands of one pipeline: graph, pause, resume.

import { type Command, Option } from 'commander';
import type { Explanation } from '../help.ts';
import { addFileOptions, type FileFlags, filesOf } from '../options.ts';
import type { Verbs } from '../program.ts';

const graphHelp: Explanation = {
  summary: 'draw a pipeline, of a file or of the router',
  about: '',
  examples: [
    { why: 'A pipeline of the router', line: 'etlctl graph orders -n shop' },
    { why: 'A pipeline that is applied nowhere yet', line: 'etlctl graph -f pipeline.yaml' },
    {
      why: 'A picture, by Graphviz',
      line: 'etlctl graph orders --format dot | dot -Tsvg > orders.svg',
    },
  ],
  exits: ['0', '1', '2', '4', '124', '128+n'],
  outputs: ['table', 'json'],
};

function addGraph({ program, add, act, io }: Verbs): void {
  addFileOptions(
    add(program, 'graph', graphHelp).argument(
      '[name]',
      'name or namespace/name of a pipeline; with -f, the only one to draw',
    ),
  )
    .addOption(
      new Option('--format <format>', 'notation of the drawing')
        .choices(['ascii', 'dot', 'mermaid'])
        .default('ascii'),
    )
    .addOption(new Option('--output-dot').hideHelp())
    .action(
      async (
        name: string | undefined,
        flags: FileFlags & { format: string; outputDot?: boolean },
        command: Command,
      ) =>
        act(command, graphHelp, async (globals) =>
          (await import('../commands/graph.ts')).graph({
            ...filesOf(flags),
            name,
            format: flags.outputDot === true ? 'dot' : flags.format,
            globals,
            io,
          }),
        ),
    );
}

const runHelp: { readonly [verb in 'pause' | 'resume']: Explanation } = {
  pause: {
    summary: 'stop reading; what is in flight is finished and positions are kept',
    about: '',
    examples: [{ why: 'Before work on a sink', line: 'etlctl pause orders -n shop' }],
    exits: ['0', '1', '2', '4', '5', '124', '128+n'],
    outputs: ['table', 'json'],
  },
  resume: {
    summary: 'go on from the committed positions',
    about: '',
    examples: [{ why: 'When the sink is back', line: 'etlctl resume orders -n shop' }],
    exits: ['0', '1', '2', '4', '5', '124', '128+n'],
    outputs: ['table', 'json'],
  },
};

function addRunVerb({ program, add, act, io }: Verbs, verb: 'pause' | 'resume'): void {
  add(program, verb, runHelp[verb])
    .argument('<pipeline>', 'name or namespace/name of the pipeline; or the word pipeline')
    .argument('[name]', 'the name, after the word pipeline')
    .action(async (first: string, second: string | undefined, _flags: object, command: Command) =>
      act(command, runHelp[verb], async (globals) =>
        (await import('../commands/pause.ts')).setRunning({ verb, first, second, globals, io }),
      ),
    );
}

export function addPipelineVerbs(verbs: Verbs): void {
  addGraph(verbs);
  addRunVerb(verbs, 'pause');
  addRunVerb(verbs, 'resume');
}
