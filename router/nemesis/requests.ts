// What the clients of a run ask of one member, and what may have become of it: of a write that failed nothing is taken
// for certain but what the member itself said.

import { type EtlError, toEtlError } from '@etl-router/core';
import { errorCodeKey } from '@etl-router/proto/grpc';
import type { ServiceError } from '@grpc/grpc-js';
import type { Operations } from '../linearizability/operations.ts';
import type { Admin, Member } from './member.ts';

export const kind = 'EtlSource';
export const namespace = 'default';

/** An object as histories name it. */
export function fullName(name: string): string {
  return `${kind}/${namespace}/${name}`;
}

/** `refused`: certainly not done. `unknown`: done now, later or never. */
export type Fate = 'refused' | 'unknown';

/** What became of a write that failed. */
export function fateOf(failure: EtlError): Fate {
  const { code, details } = failure;
  if (details['outcome'] !== undefined)
    return details['outcome'] === 'refused' ? 'refused' : 'unknown';
  const cause = failure.cause as Partial<ServiceError> | undefined;
  const isSaid = cause?.metadata?.get(errorCodeKey)[0] !== undefined;
  if (isSaid)
    return code === 'ETL_NOT_LEADER' || code === 'ETL_LIMIT_EXCEEDED' ? 'refused' : 'unknown';
  return failure.message.includes('ECONNREFUSED') ? 'refused' : 'unknown';
}

export interface Put {
  readonly name: string;
  readonly spec: string;
  readonly ifVersion?: number | undefined;
  readonly requestId?: string;
}

export async function put(
  admin: Admin,
  { name, spec, ifVersion, requestId = '' }: Put,
  deadlineMs: number,
): Promise<Operations['update']['out']> {
  const manifest = manifestOf(name, spec);
  const expected = ifVersion === undefined ? {} : { expectedVersion: BigInt(ifVersion) };
  try {
    const answer = await admin.applyObject({ manifest, requestId, ...expected }, { deadlineMs });
    return { version: Number(answer.object?.resourceVersion ?? 0n), changed: answer.changed };
  } catch (error) {
    return conflictOf(error);
  }
}

function manifestOf(name: string, spec: string): string {
  return JSON.stringify({
    apiVersion: 'etl.router/v1',
    kind,
    metadata: { name, namespace, labels: { spec } },
    spec: { file: { path: 'in.jsonl', format: 'jsonl' } },
  });
}

const mutation = `mutation Put($manifest: String!) {
  put: applyObject(input: {manifest: $manifest}) { success message outcome object { resourceVersion } }
}`;

interface PutAnswer {
  readonly data?: {
    readonly put?: {
      readonly success: boolean;
      readonly message: string | null;
      readonly outcome: string | null;
      readonly object: { readonly resourceVersion: string } | null;
    };
  };
}

/** The same write over GraphQL, its request id in the header. Throws for whatever is not a success. */
export async function putOverHttp(
  member: Member,
  { name, spec, requestId = '' }: Put,
  deadlineMs: number,
): Promise<Operations['update']['out']> {
  const answer = await fetch(`http://${member.httpAddress}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-etl-request-id': requestId },
    body: JSON.stringify({ query: mutation, variables: { manifest: manifestOf(name, spec) } }),
    signal: AbortSignal.timeout(deadlineMs),
  });
  const put = ((await answer.json()) as PutAnswer).data?.put;
  if (put?.success !== true || put.object === null)
    throw new Error(`the write was not answered with success: ${put?.message ?? answer.status}`);
  return { version: Number(put.object.resourceVersion), changed: put.outcome !== 'unchanged' };
}

export async function remove(
  admin: Admin,
  { name, ifVersion, requestId = '' }: Omit<Put, 'spec'>,
  deadlineMs: number,
): Promise<Operations['delete']['out']> {
  const expected = ifVersion === undefined ? {} : { expectedVersion: BigInt(ifVersion) };
  const request = { name: { kind, namespace, name }, requestId, ...expected };
  try {
    await admin.deleteObject(request, { deadlineMs });
    return {};
  } catch (error) {
    if (isSaidNotFound(error)) return { error: 'notFound' };
    return conflictOf(error);
  }
}

export async function get(
  admin: Admin,
  name: string,
  deadlineMs: number,
): Promise<Operations['get']['out']> {
  try {
    const { object } = await admin.getObject({ name: { kind, namespace, name } }, { deadlineMs });
    const version = Number(object?.resourceVersion ?? 0n);
    return { version, spec: object?.labels['spec'] ?? '' };
  } catch (error) {
    if (isSaidNotFound(error)) return { error: 'notFound' };
    throw error;
  }
}

function isSaidNotFound(error: unknown): boolean {
  return toEtlError(error).code === 'ETL_NOT_FOUND';
}

/** The version that was found, of a write that expected another. */
function conflictOf(error: unknown): { readonly error: 'conflict'; readonly version: number } {
  const { code, details } = toEtlError(error);
  if (code !== 'ETL_CONFLICT' || details['found'] === undefined) throw error;
  return { error: 'conflict', version: Number(details['found']) };
}
