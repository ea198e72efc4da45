// `etlctl delete`: by name, or everything that manifests name, pipelines before what they refer to.

import { EtlError, isEtlError } from '@etl-router/core';
import { RouterClient, toCode } from '../client.ts';
import type { CommandResult, GlobalOptions, Io } from '../io.ts';
import { loadManifests } from '../manifests.ts';
import { kindOf, parseTarget } from '../resources.ts';
import type { MutationResult } from './pause.ts';

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
  const failures: EtlError[] = [];
  const result: Deleted[] = [];
  for (const [index, target] of targets.entries()) {
    const shown = shownAs(target);
    let answer: MutationResult;
    try {
      answer = await deleteOne(client, target);
    } catch (error) {
      if (!isEtlError(error) || index === 0) throw error;
      failures.push(new EtlError(error.code, `${shown} not deleted: ${error.message}`));
      for (const left of targets.slice(index + 1))
        failures.push(new EtlError(error.code, `${shownAs(left)} not sent`));
      break;
    }
    const code = answer.success ? undefined : toCode(answer.code);
    const missing = code === 'ETL_NOT_FOUND' && request.ignoreNotFound;
    result.push({ ...target, deleted: answer.success });
    if (answer.success) lines.push(`${shown} deleted`);
    else if (missing) lines.push(`${shown} not found`);
    else if (code !== undefined) {
      const reason = answer.message ?? 'the router refused without a reason';
      failures.push(new EtlError(code, `${shown} not deleted: ${reason}`));
    }
  }
  return { summary: lines.join('\n'), result, failures };
}

interface Deleted extends Target {
  readonly deleted: boolean;
}

function shownAs({ kind, name }: Target): string {
  return `${kind === 'service' ? kind : kind.slice(3).toLowerCase()}/${name}`;
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
    const { manifests } = await loadManifests(request, globals, io);
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
  const namespace = globals.defaultNamespace;
  const kind = target.resource === 'services' ? 'service' : kindOf[target.resource];
  return [{ kind, namespace, name: target.name }];
}
