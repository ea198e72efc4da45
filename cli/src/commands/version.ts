// `etlctl version`: both sides. A router that is away is said to be away, and does not make the command fail.

import { isEtlError } from '@etl-router/core';
import { RouterClient } from '../client.ts';
import type { CommandResult, GlobalOptions, Io } from '../io.ts';
import { productCommit, productVersion } from '../version.ts';

export interface VersionRequest {
  readonly clientOnly: boolean;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

export async function version(request: VersionRequest): Promise<CommandResult> {
  const client = { version: productVersion, commit: productCommit, node: process.version };
  const mine = `etlctl ${client.version} (${client.commit})`;
  if (request.clientOnly) return { summary: mine, result: { client } };
  try {
    const answer = await new RouterClient(request.globals, request.io).query<{
      version: { readonly version: string; readonly commit: string };
    }>('query { version { version commit node } }');
    const { version: server } = answer;
    const skew =
      releaseOf(server.version) === releaseOf(client.version)
        ? ''
        : ' - versions differ by a release';
    return {
      summary: `${mine}\nrouter ${server.version} (${server.commit})${skew}`,
      result: { client, router: server },
    };
  } catch (error) {
    if (!isEtlError(error)) throw error;
    return {
      summary: `${mine}\nrouter: ${error.message}`,
      result: { client, router: null, reason: error.message },
    };
  }
}

function releaseOf(version: string): string {
  return version.split('.', 2).join('.');
}
