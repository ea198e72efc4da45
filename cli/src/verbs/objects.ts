// The commands of objects as kubectl has them: apply, get, describe, delete, and validate.

import { type Command, Option } from 'commander';
import type { Explanation } from '../help.ts';
import { addConsistency, addFileOptions, type FileFlags, filesOf } from '../options.ts';
import { outputs } from '../output.ts';
import type { Verbs } from '../program.ts';

const kinds = 'pipelines, sources, transforms, sinks or services; singular and short names too';

const applyHelp: Explanation = {
  summary: 'create or update the objects of manifests',
  about: `Every manifest is checked before the first is sent: one that is wrong refuses them all. Sources,
transforms and sinks go before the pipelines that name them. Each object is created, configured
or unchanged, and applying the same file again changes nothing.

A manifest with metadata.resourceVersion, as get -o yaml prints it, is applied over that version
alone: when the object changed since, it is a conflict (exit code 5) and stays as it is. Version 0
only creates. Without the field, what is there is replaced.

Of a folder, the files that end in .yaml, .yml or .json are read, in the order of their names; the
folders in it only with -R.`,
  examples: [
    { why: 'Apply a file, or all files of a folder', line: 'etlctl apply -f pipeline.yaml' },
    {
      why: 'See what would change, and change nothing',
      line: 'etlctl apply -f manifests/ -R --dry-run',
    },
    {
      why: 'Edit what is there; a change made meanwhile by someone else is not lost',
      line: 'etlctl get pipeline orders -o yaml > orders.yaml && vi orders.yaml && etlctl apply -f orders.yaml',
    },
    { why: 'Apply what another program writes', line: 'render-manifests | etlctl apply -f -' },
  ],
  exits: ['0', '1', '2', '3', '5', '124', '128+n'],
  outputs: ['table', 'json'],
};

function addApply({ program, add, act, io }: Verbs): void {
  addFileOptions(add(program, 'apply', applyHelp))
    .addOption(
      new Option(
        '--dry-run [where]',
        'change nothing: check here (client), or on the router too (server)',
      )
        .choices(['client', 'server'])
        .preset('server'),
    )
    .action(async (flags: FileFlags & { dryRun?: 'client' | 'server' }, command: Command) =>
      act(command, applyHelp, async (globals) =>
        (await import('../commands/apply.ts')).apply({
          ...filesOf(flags),
          dryRun: flags.dryRun,
          globals,
          io,
        }),
      ),
    );
}

const getHelp: Explanation = {
  summary: 'list objects, or show one',
  about: `Prints a table, or with -o yaml and -o json the objects as they are stored, with uid,
resourceVersion, generation and status: the one that was named, else a List as kubectl's. What is
printed can be applied again as long as the object was not changed or deleted since; without
metadata.resourceVersion it can be applied at any time, and to another cluster.`,
  examples: [
    { why: 'Pipelines of all namespaces, with their rates', line: 'etlctl get pipelines -A' },
    { why: 'One source as YAML', line: 'etlctl get source orders-file -n shop -o yaml' },
    {
      why: 'The same by kind/name, as other commands print it',
      line: 'etlctl get source/orders-file -n shop -o yaml',
    },
    { why: 'Names alone, for scripts', line: 'etlctl get sinks -o name' },
    {
      why: 'While the cluster has no leader',
      line: 'etlctl get pipelines --consistency stale',
    },
  ],
  exits: ['0', '1', '2', '4', '124', '128+n'],
  outputs,
};

function addGet({ program, add, act, io }: Verbs): void {
  addConsistency(add(program, 'get', getHelp))
    .argument('<resource>', `${kinds}; or resource/name`)
    .argument('[name]', 'the one to show; all of the namespace without it')
    .option('-A, --all-namespaces', 'of every namespace')
    .addOption(new Option('--name <name>').hideHelp())
    .action(
      async (
        resource: string,
        name: string | undefined,
        flags: { allNamespaces?: boolean; name?: string },
        command: Command,
      ) =>
        act(
          command,
          getHelp,
          async (globals) =>
            (await import('../commands/get.ts')).get({
              resource,
              name: name ?? flags.name,
              allNamespaces: flags.allNamespaces === true,
              globals,
              io,
            }),
          'printed',
        ),
    );
}

const describeHelp: Explanation = {
  summary: 'show one object with its state',
  about: `A pipeline is shown with its phase and why it is in it, its guarantee and weakest link, its graph,
the counters of its stages, references that nothing answers to, and the position of every lane.`,
  examples: [
    { why: 'Why a pipeline does not run', line: 'etlctl describe pipeline orders -n shop' },
    { why: 'A registered service, by name or id', line: 'etlctl describe service mask' },
    { why: 'For scripts', line: 'etlctl describe pipeline orders -n shop -o json' },
  ],
  exits: ['0', '1', '2', '4', '124', '128+n'],
  outputs: ['table', 'json'],
};

function addDescribe({ program, add, act, io }: Verbs): void {
  addConsistency(add(program, 'describe', describeHelp))
    .argument('<resource>', `${kinds}; or resource/name`)
    .argument('[name]', 'the one to show; needed unless it stands after the slash')
    .action(async (resource: string, name: string | undefined, _flags: object, command: Command) =>
      act(command, describeHelp, async (globals) =>
        (await import('../commands/describe.ts')).describe({ resource, name, globals, io }),
      ),
    );
}

const deleteHelp: Explanation = {
  summary: 'delete objects by name or by manifest',
  about: `A deleted pipeline stops, and its positions are forgotten: the same pipeline created again starts
anew. With -f, pipelines go before what they refer to. Nothing is asked; get -o yaml first keeps
what may be needed again.`,
  examples: [
    { why: 'One object', line: 'etlctl delete pipeline orders -n shop' },
    { why: 'All that the manifests of a folder name', line: 'etlctl delete -f manifests/ -R' },
    { why: 'In a script that may run twice', line: 'etlctl delete sink old --ignore-not-found' },
  ],
  exits: ['0', '1', '2', '4', '5', '124', '128+n'],
  outputs: ['table', 'json'],
};

function addDelete({ program, add, act, io }: Verbs): void {
  addFileOptions(
    add(program, 'delete', deleteHelp)
      .argument('[resource]', `${kinds}; or resource/name; not with -f`)
      .argument('[name]', 'the one to delete'),
  )
    .option('--ignore-not-found', 'succeed when there is nothing to delete')
    .addOption(new Option('--force').hideHelp())
    .action(
      async (
        resource: string | undefined,
        name: string | undefined,
        flags: FileFlags & { ignoreNotFound?: boolean },
        command: Command,
      ) =>
        act(command, deleteHelp, async (globals) =>
          (await import('../commands/delete.ts')).deleteObjects({
            ...filesOf(flags),
            resource,
            name,
            ignoreNotFound: flags.ignoreNotFound === true,
            globals,
            io,
          }),
        ),
    );
}

const validateHelp: Explanation = {
  summary: 'check manifests without a router',
  about: `Says everything of the manifests that can be said here: syntax, fields, names, the graph and its
guarantee. References to objects of no file are warnings. Settings of connectors are judged by the
router: apply --dry-run asks it.`,
  examples: [
    { why: 'A folder with all that is in it', line: 'etlctl validate -f manifests/ -R' },
    { why: 'As a check of a build', line: 'etlctl validate -f pipeline.yaml -o json' },
  ],
  exits: ['0', '1', '2', '128+n'],
  outputs: ['table', 'json'],
};

function addValidate({ program, add, act, io }: Verbs): void {
  addFileOptions(add(program, 'validate', validateHelp)).action(
    async (flags: FileFlags, command: Command) =>
      act(command, validateHelp, async (globals) =>
        (await import('../commands/validate.ts')).validate({ ...filesOf(flags), globals, io }),
      ),
  );
}

export function addObjectVerbs(verbs: Verbs): void {
  addApply(verbs);
  addGet(verbs);
  addDescribe(verbs);
  addDelete(verbs);
  addValidate(verbs);
}
