// `etlctl apply`: every document of every file is checked before the first is sent; each one's outcome is told.

import { randomUUID } from 'node:crypto';
import { EtlError, isEtlError, stringifyJsonText } from '@etl-router/core';
import { lookupIn, type Manifest, normalizePipeline } from '@etl-router/pipeline';
import { RouterClient, toCode } from '../client.ts';
import { type CommandResult, type GlobalOptions, type Io, printable } from '../io.ts';
import { loadManifests, versionOf } from '../manifests.ts';

export interface ApplyRequest {
  readonly paths: readonly string[];
  readonly recursive: boolean;
  readonly dryRun: 'client' | 'server' | undefined;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

interface FindingAnswer {
  readonly severity: string;
  readonly code: string;
  readonly path: string;
  readonly message: string;
  readonly suggestion: string | null;
}

interface ApplyAnswer {
  readonly success: boolean;
  readonly message: string | null;
  readonly code: string | null;
  readonly outcome: string | null;
  readonly findings: readonly FindingAnswer[];
}

const document = `mutation ($input: ApplyObjectInput!) {
  applyObject(input: $input) { success message code outcome findings { severity code path message suggestion } }
}`;

/** Sources, transforms and sinks go before the pipelines that name them, whatever their order in the files. */
const order: readonly string[] = ['EtlSource', 'EtlTransform', 'EtlSink', 'EtlPipeline'];

/** What became of one manifest; `-o json` prints it as it is. */
interface Outcome {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly ok: boolean;
  /** created, configured, unchanged, valid (dry run of the client), refused, failed (no answer) or notSent. */
  readonly outcome: string;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** What the router found, warnings of what was applied too. */
  readonly findings: readonly FindingAnswer[];
}

export async function apply(request: ApplyRequest): Promise<CommandResult> {
  const { globals, io, dryRun } = request;
  const read = await loadManifests(request, globals, io);
  const manifests = read.manifests.toSorted(
    (a, b) => order.indexOf(a.kind) - order.indexOf(b.kind),
  );
  if (dryRun === 'client') {
    return summarise(
      manifests.map((manifest) => toOutcome(manifest, 'valid')),
      dryRun,
    );
  }
  const client = new RouterClient(globals, io);
  const outcomes: Outcome[] = [];
  for (const manifest of manifests) {
    try {
      const sent = {
        manifest,
        expectedVersion: versionOf(read, manifest),
        unresolved: dryRun === undefined ? undefined : unresolvedIn(manifest, manifests),
      };
      outcomes.push(await applyOne(client, sent, request));
    } catch (error) {
      if (!isEtlError(error) || outcomes.length === 0) throw error;
      outcomes.push(...notApplied(manifests.slice(outcomes.length), error));
      break;
    }
  }
  return summarise(outcomes, dryRun);
}

function toOutcome(
  manifest: Manifest,
  outcome: string,
  error?: EtlError,
  findings: readonly FindingAnswer[] = [],
): Outcome {
  const { kind, metadata } = manifest;
  return {
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    ok: error === undefined,
    outcome,
    error: error === undefined ? null : { code: error.code, message: error.message },
    findings,
  };
}

/** When the router went away half-way: what was applied before is told, and so is what was not. */
function notApplied(rest: readonly Manifest[], error: EtlError): Outcome[] {
  const unsent = new EtlError(error.code, 'not sent');
  return rest.map((manifest, index) =>
    index === 0 ? toOutcome(manifest, 'failed', error) : toOutcome(manifest, 'notSent', unsent),
  );
}

interface Sent {
  readonly manifest: Manifest;
  readonly expectedVersion: string | undefined;
  /** Of a dry run, the references that this command would not create either, by path. */
  readonly unresolved: ReadonlySet<string> | undefined;
}

/** Paths of the references that no manifest of the command answers to. */
function unresolvedIn(manifest: Manifest, all: readonly Manifest[]): ReadonlySet<string> {
  if (manifest.kind !== 'EtlPipeline') return new Set();
  const { findings } = normalizePipeline(manifest, lookupIn(all));
  return new Set(findings.filter(({ code }) => code === 'UnresolvedRef').map(({ path }) => path));
}

async function applyOne(client: RouterClient, sent: Sent, request: ApplyRequest): Promise<Outcome> {
  const { manifest, expectedVersion } = sent;
  const { applyObject: answer } = await client.query<{ applyObject: ApplyAnswer }>(document, {
    input: {
      manifest: stringifyJsonText(manifest),
      dryRun: request.dryRun === 'server',
      requestId: randomUUID(),
      ...(expectedVersion === undefined ? {} : { expectedVersion }),
    },
  });
  const findings = worthTelling(answer.findings, sent.unresolved);
  for (const finding of findings) {
    const way = finding.suggestion === null ? '' : ` (${finding.suggestion})`;
    request.io.err(
      `${printable(`${finding.severity}: ${nameOf(manifest)}: ${finding.path}: ${finding.message}${way}`)}\n`,
    );
  }
  if (answer.success) return toOutcome(manifest, answer.outcome ?? 'applied', undefined, findings);
  const reason = answer.message ?? 'the router gave no reason';
  const code = toCode(answer.code);
  const message =
    code === 'ETL_CONFLICT' && expectedVersion !== undefined
      ? `${reason}. See what there is with etlctl get ${nameOf(manifest)} -n ${manifest.metadata.namespace} -o yaml, or leave metadata.resourceVersion out to apply this as it is`
      : reason;
  return toOutcome(manifest, 'refused', new EtlError(code, message), findings);
}

/** Without what a dry run finds only because it created nothing: references to objects of the same command. */
function worthTelling(
  findings: readonly FindingAnswer[],
  unresolved: ReadonlySet<string> | undefined,
): readonly FindingAnswer[] {
  if (unresolved === undefined) return findings;
  const told = findings.filter(
    ({ code, path }) => code !== 'UnresolvedRef' || unresolved.has(path),
  );
  const allFound = told.length < findings.length && unresolved.size === 0;
  return allFound ? told.filter(({ code }) => code !== 'GuaranteeUnknown') : told;
}

function nameOf({ kind, metadata }: Pick<Manifest, 'kind' | 'metadata'>): string {
  return shownAs(kind, metadata.name);
}

function shownAs(kind: string, name: string): string {
  return `${kind.slice(3).toLowerCase()}/${name}`;
}

/** A line for every manifest: what was done on standard output, what was not as errors. */
function summarise(outcomes: readonly Outcome[], dryRun: ApplyRequest['dryRun']): CommandResult {
  const where = dryRun === undefined ? '' : ` (${dryRun} dry run)`;
  const lines: string[] = [];
  const failures: EtlError[] = [];
  for (const { kind, name, outcome, error } of outcomes) {
    const shown = shownAs(kind, name);
    if (error === null) lines.push(`${shown} ${outcome}${where}`);
    else {
      const what = { notSent: 'not sent', failed: `not applied: ${error.message}` }[outcome];
      const message = `${shown} ${what ?? `refused: ${error.message}`}`;
      failures.push(new EtlError(toCode(error.code), message));
    }
  }
  return { summary: lines.join('\n'), result: outcomes, failures };
}
