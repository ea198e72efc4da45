// `etlctl graph`: the drawing of a pipeline, from manifests without a router or by name from the router.

import { EtlError } from '@etl-router/core';
import { drawPipeline, type GraphFormat, lookupIn, normalizePipeline } from '@etl-router/pipeline';
import { RouterClient } from '../client.ts';
import type { CommandResult, GlobalOptions, Io } from '../io.ts';
import { loadManifests, printFindings } from '../manifests.ts';
import { parsePipeline } from '../resources.ts';
import { notFound } from './get.ts';

export interface GraphRequest {
  readonly paths: readonly string[];
  readonly recursive: boolean;
  readonly name: string | undefined;
  readonly format: string;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

/** The drawings, one after the other. Throws ETL_NOT_FOUND where there is no pipeline to draw. */
export async function graph(request: GraphRequest): Promise<CommandResult> {
  if (request.paths.length === 0) return graphOfRouter(request);
  const { manifests } = await loadManifests(request, request.globals, request.io);
  const lookup = lookupIn(manifests);
  const drawings: string[] = [];
  for (const manifest of manifests) {
    if (
      manifest.kind !== 'EtlPipeline' ||
      (request.name !== undefined && manifest.metadata.name !== request.name)
    )
      continue;
    const { pipeline, findings } = normalizePipeline(manifest, lookup);
    if (pipeline === undefined) {
      printFindings(
        findings.map((finding) => ({ ...finding, file: request.paths.join(', ') })),
        request.io,
      );
      throw new EtlError(
        'ETL_INVALID_ARGUMENT',
        `pipeline ${manifest.metadata.name} is not valid; nothing was drawn`,
      );
    }
    drawings.push(drawPipeline(pipeline, request.format as GraphFormat));
  }
  if (drawings.length === 0) throw new EtlError('ETL_NOT_FOUND', 'the files hold no such pipeline');
  return { summary: drawings.join('\n').trimEnd(), result: drawings };
}

async function graphOfRouter(request: GraphRequest): Promise<CommandResult> {
  const { name, globals } = request;
  if (name === undefined) {
    throw new EtlError('ETL_INVALID_ARGUMENT', 'say what to draw: etlctl graph NAME, or -f FILE');
  }
  const target = parsePipeline(name, globals);
  const { pipeline } = await new RouterClient(globals, request.io).query<{
    pipeline: { readonly graph: string } | null;
  }>(
    'query ($id: ID!, $format: String!) { pipeline(pipelineId: $id) { graph(format: $format) } }',
    { id: target.id, format: request.format },
  );
  if (pipeline === null) throw notFound('pipelines', target.name, target.namespace);
  return { summary: pipeline.graph.trimEnd(), result: pipeline.graph };
}
