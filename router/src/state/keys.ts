// Keys of rows that several handlers look up.

import type { StoredObject } from '@etl-router/proto';
import { notFound } from './refusal.ts';
import { joinKey } from './table.ts';
import type { Context } from './tables.ts';

/** Key of an object's row. */
export function objectKey(kind: string, namespace: string, name: string): string {
  return joinKey(kind, namespace, name);
}

/** Key of the row of the pipeline `namespace/name`. */
export function pipelineKey(pipeline: string): string {
  const slash = pipeline.indexOf('/');
  return objectKey('EtlPipeline', pipeline.slice(0, Math.max(0, slash)), pipeline.slice(slash + 1));
}

/** Key of a lane's row. */
export function laneRowKey(
  pipeline: string,
  lane: { readonly source: string; readonly partition: string },
): string {
  return joinKey(pipeline, lane.source, lane.partition);
}

/** The pipeline's row; refuses when there is none. */
export function existingPipeline(context: Context, pipeline: string): StoredObject {
  const row = context.tables.objects.get(pipelineKey(pipeline));
  if (row === undefined) throw notFound('EtlPipeline', pipeline);
  return row;
}
