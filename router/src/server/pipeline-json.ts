// The normalised pipeline as an assignment carries it: JSON in which 64-bit integers stay exact. Members that are
// undefined are absent, which reads the same.

import { EtlError, parseJson, stringifyJson } from '@etl-router/core';
import type { JsonObject, Pipeline } from '@etl-router/pipeline';

/**
 * The bytes of a pipeline; equal pipelines have equal bytes. The settings of connectors stay in the order they were
 * written in, which may be the order of columns: another order is another pipeline.
 */
export function encodePipeline(pipeline: Pipeline): Buffer {
  const asWritten = new Set<unknown>(pipeline.stages.map(({ connector }) => connector?.config));
  return stringifyJson(sortKeys(pipeline, asWritten));
}

/** The pipeline in an assignment. Throws ETL_STORAGE_CORRUPT for bytes that encodePipeline did not make. */
export function decodePipeline(bytes: Uint8Array): Pipeline {
  try {
    return parseJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)) as Pipeline;
  } catch (cause) {
    throw new EtlError('ETL_STORAGE_CORRUPT', 'the pipeline of an assignment can not be read', {
      cause,
    });
  }
}

/** The JSON object in stored bytes. */
export function decodeJsonObject(bytes: Uint8Array): JsonObject {
  return parseJson(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)) as JsonObject;
}

function sortKeys(value: unknown, asWritten: ReadonlySet<unknown>): unknown {
  if (Array.isArray(value)) return value.map((item) => sortKeys(item, asWritten));
  if (typeof value !== 'object' || value === null || asWritten.has(value)) return value;
  const sorted = Object.create(null) as { [name: string]: unknown };
  for (const name of Object.keys(value).sort()) {
    const member = (value as { [name: string]: unknown })[name];
    if (member !== undefined) sorted[name] = sortKeys(member, asWritten);
  }
  return sorted;
}
