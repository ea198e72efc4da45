// `etlctl delete`: by name, or everything that manifests name, pipelines before what they refer to.

import { EtlError, errorCodes } from '@etl-router/core';
import { RouterClient, toCode } from '../client.ts';
import type { CommandResult, GlobalOptions, Io } from '../io.ts';
import { loadManifests } from '../manifests.ts';
import { kindOf, parseTarget } from '../resources.ts';
import { assertSuccess, type MutationResult } from './pause.ts';

export interface DeleteRequest {
  readonly paths: readonly string[];
  readonly recursive: boolean;
  readonly resource: string | undefined;
  readonly name: string | undefined;
  readonly ignoreNotFound: boolean;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

interface Target {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

const objectDocument = `mutation ($kind: ObjectKind!, $namespace: String!, $name: String!) {
  deleteObject(kind: $kind, namespace: $namespace, name: $name) { success message code }
}`;

const order: readonly string[] = ['EtlPipeline', 'EtlSink', 'EtlTransform', 'EtlSource'];

export async function deleteObjects(request: DeleteRequest): Promise<CommandResult> {
  const client = new RouterClient(request.globals, request.io);
  const targets = await targetsOf(request);
  const lines: string[] = [];
  let failure: EtlError | undefined;
  for (const target of targets) {
    const shown = `${target.kind === 'service' ? target.kind : target.kind.slice(3).toLowerCase()}/${target.name}`;
    const result = await deleteOne(client, target);
    const missing = toCode(result.code) === 'ETL_NOT_FOUND';
    if (result.success) lines.push(`${shown} deleted`);
    else if (missing && request.ignoreNotFound) lines.push(`${shown} not found`);
    else {
      failure ??= new EtlError(
        toCode(result.code),
        result.message ?? 'the router refused without a reason',
      );
      if (targets.length === 1) assertSuccess(result);
      lines.push(`${shown} not deleted: ${result.message ?? 'refused without a reason'}`);
    }
  }
  const summary = lines.join('\n');
  return failure === undefined
    ? { summary }
    : { summary, exitCode: errorCodes[failure.code].exitCode };
}

async function deleteOne(client: RouterClient, target: Target): Promise<MutationResult> {
  if (target.kind === 'service') {
    const answer = await client.query<{ deregisterService: MutationResult }>(
      'mutation ($id: ID!) { deregisterService(serviceId: $id) { success message code } }',
      { id: target.name },
    );
    return answer.deregisterService;
  }
  return (await client.query<{ deleteObject: MutationResult }>(objectDocument, { ...target }))
    .deleteObject;
}

async function targetsOf(request: DeleteRequest): Promise<Target[]> {
  const { resource, globals, io } = request;
  if (request.paths.length > 0) {
    if (resource !== undefined) {
      throw new EtlError('ETL_INVALID_ARGUMENT', 'name objects or give -f, not both');
    }
    const manifests = await loadManifests(request, globals, io);
    return manifests
      .map(({ kind, metadata }) => ({ kind, namespace: metadata.namespace, name: metadata.name }))
      .toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  }
  if (resource === undefined) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      'say what to delete: etlctl delete RESOURCE NAME, or -f FILE',
    );
  }
  const target = parseTarget(resource, request.name);
  if (target.name === undefined || target.name === '') {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `name what to delete: etlctl delete ${resource} NAME`,
    );
  }
  const namespace = globals.namespace ?? 'default';
  const kind = target.resource === 'services' ? 'service' : kindOf[target.resource];
  return [{ kind, namespace, name: target.name }];
}
