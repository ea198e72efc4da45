// The manifests of the earlier system: kinds Pipeline, Source, Transform and Sink of etl.router/v1, with references as
// `{ref: name}` or as plain names. Turned into the kinds of today; what they said then keeps its meaning.

import { formatDuration } from '@etl-router/core';
import { Fields } from './field-reader.ts';
import type { Findings } from './finding.ts';
import {
  apiVersion,
  type Json,
  type JsonObject,
  type Manifest,
  type ObjectKind,
  type ObjectMetadata,
} from './model.ts';

/** Kinds of the earlier system that are still accepted. */
export const earlierKinds = ['Pipeline', 'Source', 'Transform', 'Sink'] as const;
export type EarlierKind = (typeof earlierKinds)[number];

export function isEarlierKind(kind: string): kind is EarlierKind {
  return earlierKinds.some((known) => known === kind);
}

/** The manifest of today that an earlier one means. Reports into `findings` what it can not mean. */
export function convertEarlierKind(
  findings: Findings,
  kind: EarlierKind,
  object: { readonly metadata: ObjectMetadata; readonly spec: JsonObject },
): Manifest {
  const fields = new Fields(findings, object.spec, 'spec');
  const spec = kind === 'Pipeline' ? convertPipeline(fields) : convertService(fields);
  fields.end();
  return {
    apiVersion,
    kind: `Etl${kind}` satisfies ObjectKind,
    metadata: object.metadata,
    spec,
  };
}

/** References stay as they are written: normalize.ts reads all of their spellings. */
function convertPipeline(fields: Fields): JsonObject {
  const spec: { [name: string]: Json } = {};
  for (const name of ['description', 'source', 'transforms', 'sink', 'sinks']) {
    const value = fields.raw(name);
    if (value !== undefined) spec[name] = value;
  }
  spec['state'] = fields.boolean('enabled', true) ? 'running' : 'stopped';
  const steps = fields.raw('steps');
  if (steps !== undefined && spec['transforms'] !== undefined) {
    fields.report('steps', { code: 'BadValue', message: 'say transforms or steps, not both' });
  } else if (steps !== undefined) spec['transforms'] = steps;
  const dlq = fields.fields('dlq');
  if (dlq !== undefined) Object.assign(spec, convertDeadLetters(dlq));
  return spec;
}

const backoffBounds = { min: 1, max: 86_400_000 };

function convertDeadLetters(dlq: Fields): JsonObject {
  const sink = dlq.raw('sink');
  if (sink === undefined) dlq.report('sink', { code: 'MissingField', message: 'is needed' });
  const maxRetries = dlq.integer('maxRetries', 3, { min: 0, max: 99 });
  const initialMs = dlq.integer('retryBackoffMs', 100, backoffBounds);
  const capMs = dlq.integer('maxRetryBackoffMs', 30_000, backoffBounds);
  dlq.end();
  const backoff = { initial: formatDuration(initialMs), factor: 2, cap: formatDuration(capMs) };
  return {
    delivery: { retry: { maxAttempts: maxRetries + 1, backoff } },
    ...(sink === undefined ? {} : { deadLetter: { sinkRef: sink } }),
  };
}

function convertService(fields: Fields): JsonObject {
  const grpc: { [name: string]: Json } = {};
  const given = fields.fields('grpc');
  if (given === undefined) {
    if (!fields.has('grpc')) fields.report('grpc', { code: 'MissingField', message: 'is needed' });
    return { grpc };
  }
  const endpoint = given.requiredText('endpoint');
  const proto = given.text('proto');
  const tls = given.raw('tls');
  given.end();
  if (endpoint !== undefined) grpc['endpoint'] = endpoint;
  if (proto !== undefined) grpc['proto'] = proto;
  if (tls !== undefined) grpc['tls'] = tls;
  const config = fields.raw('config');
  if (config !== undefined) grpc['config'] = config;
  return { grpc };
}
