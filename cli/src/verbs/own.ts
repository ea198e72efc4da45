// The commands of etlctl itself and of its surroundings: version, doctor, completion.

import type { Command } from 'commander';
import type { Explanation } from '../help.ts';
import type { Verbs } from '../program.ts';

const versionHelp: Explanation = {
  summary: 'version of etlctl and, where one answers, of the router',
  about: `A router that is away is no failure: its line says why it gave no version, and the exit code is 0.
With -o json, router is null then and reason says why.`,
  examples: [
    { why: 'Both sides', line: 'etlctl version' },
    { why: 'Without asking a router', line: 'etlctl version --client' },
  ],
  exits: ['0', '2', '128+n'],
  outputs: ['table', 'json'],
};

const doctorHelp: Explanation = {
  summary: 'look for what is wrong, and say what to do',
  about: `Of a router in Kubernetes: the kubeconfig, the API server and its clock, the kinds, the operator and who of it
leads, and of every EtlRouterCluster (or those of -n, or that of --cluster) conditions, pods, volumes,
certificates, and what the routers say themselves. Of a router at a URL: whether it answers, who leads,
its version and its clock. Nothing is changed. What you may not look at is said and does not fail.
With -o json, result.checks lists name, level (ok, warn or fail), message and advice of each.`,
  examples: [
    { why: 'Everything that the current context shows', line: 'etlctl doctor --context prod' },
    { why: 'One cluster', line: 'etlctl doctor --cluster shop/main' },
    { why: 'The router of this machine', line: 'etlctl doctor' },
  ],
  exits: ['0', '1', '2', '128+n'],
  outputs: ['table', 'json'],
};

const completionHelp: Explanation = {
  summary: 'print the completion script of a shell',
  about: '',
  examples: [
    { why: 'bash, in ~/.bashrc', line: 'source <(etlctl completion bash)' },
    { why: 'zsh, in ~/.zshrc after compinit', line: 'source <(etlctl completion zsh)' },
    { why: 'fish, in ~/.config/fish/config.fish', line: 'etlctl completion fish | source' },
  ],
  exits: ['0', '2'],
  outputs: ['table'],
};

export function addOwnVerbs({ program, add, act, io }: Verbs): void {
  add(program, 'version', versionHelp)
    .option('--client', 'of etlctl alone')
    .action(async (flags: { client?: boolean }, command: Command) =>
      act(command, versionHelp, async (globals) =>
        (await import('../commands/version.ts')).version({
          clientOnly: flags.client === true,
          globals,
          io,
        }),
      ),
    );
  add(program, 'doctor', doctorHelp).action(async (_flags: object, command: Command) =>
    act(command, doctorHelp, async (globals) =>
      (await import('../commands/doctor.ts')).doctor({ globals, io }),
    ),
  );
  add(program, 'completion', completionHelp)
    .addArgument(
      program.createArgument('<shell>', 'the shell that reads it').choices(['bash', 'zsh', 'fish']),
    )
    .action(async (shell: string, _flags: object, command: Command) =>
      act(
        command,
        completionHelp,
        async () => (await import('../commands/completion.ts')).completion({ shell, program, io }),
        'printed',
      ),
    );
}
