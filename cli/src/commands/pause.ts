// `etlctl pause` and `etlctl resume`: the run state of a pipeline, nothing else of its spec.

import { EtlError } from '@etl-router/core';
import { RouterClient, toCode } from '../client.ts';
import type { CommandResult, GlobalOptions, Io } from '../io.ts';
import { parsePipeline, parseResource } from '../resources.ts';

export interface PauseRequest {
  readonly verb: 'pause' | 'resume';
  /** The pipeline's name, or the word `pipeline` before it. */
  readonly first: string;
  readonly second: string | undefined;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

/** What a mutation answers. */
export interface MutationResult {
  readonly success: boolean;
  readonly message: string | null;
  readonly code: string | null;
}

/** Throws the router's error when the mutation did not succeed. */
export function assertSuccess(result: MutationResult): void {
  if (result.success) return;
  throw new EtlError(toCode(result.code), result.message ?? 'the router refused without a reason');
}

export async function setRunning(request: PauseRequest): Promise<CommandResult> {
  const { first, second } = request;
  const given = second === undefined ? first : `${first}/${second}`;
  if (second !== undefined) parseResource(first);
  const { id, name } = parsePipeline(given, request.globals);
  const field = request.verb === 'pause' ? 'disablePipeline' : 'enablePipeline';
  const client = new RouterClient(request.globals, request.io);
  const answer = await client.query<{ [field: string]: MutationResult }>(
    `mutation ($id: ID!) { ${field}(pipelineId: $id) { success message code } }`,
    { id },
  );
  assertSuccess(answer[field] as MutationResult);
  return { summary: `pipeline/${name} ${request.verb}d`, result: { pipelineId: id } };
}
