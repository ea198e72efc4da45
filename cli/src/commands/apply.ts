// `etlctl apply`: every document of every file is checked before the first is sent; each one's outcome is told.

import { randomUUID } from 'node:crypto';
import { EtlError, errorCodes, isEtlError } from '@etl-router/core';
import type { Manifest } from '@etl-router/pipeline';
import { RouterClient, toCode } from '../client.ts';
import { type CommandResult, type GlobalOptions, type Io, printable } from '../io.ts';
import { loadManifests } from '../manifests.ts';
import { renderJson } from '../output.ts';

export interface ApplyRequest {
  readonly paths: readonly string[];
  readonly recursive: boolean;
  readonly dryRun: 'client' | 'server' | undefined;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

interface ApplyAnswer {
  readonly applyObject: {
    readonly success: boolean;
    readonly message: string | null;
    readonly code: string | null;
    readonly outcome: string | null;
    readonly findings: readonly {
      readonly severity: string;
      readonly path: string;
      readonly message: string;
      readonly suggestion: string | null;
    }[];
  };
}

const document = `mutation ($input: ApplyObjectInput!) {
  applyObject(input: $input) { success message code outcome findings { severity path message suggestion } }
}`;

/** Sources, transforms and sinks go before the pipelines that name them, whatever their order in the files. */
const order: readonly string[] = ['EtlSource', 'EtlTransform', 'EtlSink', 'EtlPipeline'];

export async function apply(request: ApplyRequest): Promise<CommandResult> {
  const { globals, io } = request;
  const loaded = await loadManifests(request, globals, io);
  const manifests = loaded.toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  if (request.dryRun === 'client') {
    return summarise(manifests.map((manifest) => ({ manifest, line: 'valid (client dry run)' })));
  }
  const client = new RouterClient(globals, io);
  const outcomes: Outcome[] = [];
  for (const manifest of manifests) {
    try {
      outcomes.push(await applyOne(client, manifest, request));
    } catch (error) {
      if (!isEtlError(error) || outcomes.length === 0) throw error;
      outcomes.push(...notApplied(manifests.slice(outcomes.length), error));
      break;
    }
  }
  return summarise(outcomes);
}

interface Outcome {
  readonly manifest: Manifest;
  readonly line: string;
  readonly error?: EtlError;
}

/** When the router went away half-way: what was applied before is told, and so is what was not. */
function notApplied(rest: readonly Manifest[], error: EtlError): Outcome[] {
  return rest.map((manifest, index) => ({
    manifest,
    line: index === 0 ? `not applied: ${error.message}` : 'not sent',
    error,
  }));
}

async function applyOne(
  client: RouterClient,
  manifest: Manifest,
  request: ApplyRequest,
): Promise<Outcome> {
  const dryRun = request.dryRun === 'server';
  const { applyObject: answer } = await client.query<ApplyAnswer>(document, {
    input: { manifest: renderJson(manifest), dryRun, requestId: randomUUID() },
  });
  for (const finding of answer.findings) {
    const way = finding.suggestion === null ? '' : ` (${finding.suggestion})`;
    request.io.err(
      `${printable(`${finding.severity}: ${nameOf(manifest)}: ${finding.path}: ${finding.message}${way}`)}\n`,
    );
  }
  if (!answer.success) {
    const error = new EtlError(toCode(answer.code), answer.message ?? 'refused without a reason');
    return { manifest, line: `refused: ${error.message}`, error };
  }
  return { manifest, line: `${answer.outcome ?? 'applied'}${dryRun ? ' (server dry run)' : ''}` };
}

function nameOf(manifest: Manifest): string {
  return `${manifest.kind.slice(3).toLowerCase()}/${manifest.metadata.name}`;
}

/** Every line is printed; the exit code is the first failure's. */
function summarise(outcomes: readonly Outcome[]): CommandResult {
  const failed = outcomes.find((outcome) => outcome.error !== undefined);
  const summary = outcomes.map(({ manifest, line }) => `${nameOf(manifest)} ${line}`).join('\n');
  const result = outcomes.map(({ manifest, line, error }) => ({
    kind: manifest.kind,
    namespace: manifest.metadata.namespace,
    name: manifest.metadata.name,
    ok: error === undefined,
    outcome: line,
  }));
  return failed?.error === undefined
    ? { summary, result }
    : { summary, result, exitCode: errorCodes[failed.error.code].exitCode };
}
