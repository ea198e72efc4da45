// Credential plug-ins of kubeconfigs, such as those of cloud providers: they are run with the terminal of the user, told what
// client-go tells them, and ended with the command. The client library runs them blind; only how it spawns is replaced.

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Io } from '../io.ts';

type Spawn = (command: string, args: readonly string[], options: SpawnOptions) => ChildProcess;

/** What the library keeps its plug-in runner in. */
interface Authenticators {
  readonly authenticators?: readonly { execFn?: Spawn }[];
}

interface Plugin {
  readonly apiVersion?: string;
  readonly command?: string;
  readonly interactiveMode?: string;
  readonly provideClusterInfo?: boolean;
}

/** The command that gives the current user's credentials; undefined: there is none. */
export function pluginOf(config: KubeConfig): string | undefined {
  return (config.getCurrentUser()?.exec as Plugin | undefined)?.command;
}

/** Lets a plug-in of the current user be asked as kubectl asks it; it ends after `timeoutMs` and with the command. */
export function preparePlugin(config: KubeConfig, io: Io, timeoutMs: number): void {
  const plugin = config.getCurrentUser()?.exec as Plugin | undefined;
  const runner = (config as unknown as Authenticators).authenticators?.find(
    (each) => each.execFn !== undefined,
  );
  if (plugin === undefined || runner === undefined) return;
  runner.execFn = (command, args, options) => {
    const isInteractive = plugin.interactiveMode !== 'Never' && io.stdin.isTTY === true;
    const child = spawn(command, args ?? [], {
      ...options,
      env: {
        ...(options.env ?? process.env),
        KUBERNETES_EXEC_INFO: infoOf(config, plugin, isInteractive),
      },
      stdio: [isInteractive ? 'inherit' : 'ignore', 'pipe', 'pipe'],
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), io.signal]),
    });
    // What it asks of the user is for the user.
    if (isInteractive) child.stderr?.on('data', (text: Buffer) => io.err(String(text)));
    return child;
  };
}

function infoOf(config: KubeConfig, plugin: Plugin, interactive: boolean): string {
  const { apiVersion = 'client.authentication.k8s.io/v1' } = plugin;
  const { server, tlsServerName, skipTLSVerify, caData } = config.getCurrentCluster() ?? {};
  const cluster = {
    server,
    'tls-server-name': tlsServerName,
    'insecure-skip-tls-verify': skipTLSVerify,
    'certificate-authority-data': caData,
  };
  const spec = { interactive, ...(plugin.provideClusterInfo === true && { cluster }) };
  return JSON.stringify({ apiVersion, kind: 'ExecCredential', spec });
}
