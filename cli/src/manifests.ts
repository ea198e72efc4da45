// Reads the manifests that `-f` names, whatever their dialect, and refuses all of them when one is wrong.

import { EtlError } from '@etl-router/core';
import {
  describeObject,
  type Finding,
  formatFinding,
  isErrorFinding,
  type Manifest,
  parseManifests,
} from '@etl-router/pipeline';
import { readInputs } from './files.ts';
import { type GlobalOptions, type Io, printable } from './io.ts';
import { readVersions } from './resource-versions.ts';

export interface FileSelection {
  readonly paths: readonly string[];
  readonly recursive: boolean;
}

export interface ReadManifests {
  readonly manifests: readonly Manifest[];
  /** The resourceVersion of those that carry one, by `describeObject`. */
  readonly versions: ReadonlyMap<string, string>;
  readonly findings: readonly (Finding & { readonly file: string })[];
  readonly files: number;
}

/** Every manifest of every file with every finding. Throws ETL_INVALID_ARGUMENT when no file is named or readable. */
export async function readManifests(
  selection: FileSelection,
  globals: GlobalOptions,
  io: Io,
): Promise<ReadManifests> {
  if (selection.paths.length === 0) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      'name the manifests with -f: a file, a folder, or - for standard input',
    );
  }
  const inputs = await readInputs(selection.paths, selection.recursive, io);
  const namespace = globals.defaultNamespace;
  const manifests: Manifest[] = [];
  const versions = new Map<string, string>();
  const findings: (Finding & { readonly file: string })[] = [];
  for (const { name, text } of inputs) {
    const parsed = parseManifests(text, { namespace });
    const read = readVersions(text, namespace);
    manifests.push(...parsed.manifests);
    for (const [object, version] of read.versions) versions.set(object, version);
    for (const finding of [...parsed.findings, ...read.findings])
      findings.push({ ...finding, file: name });
    if (parsed.manifests.length === 0 && parsed.findings.length === 0) {
      throw new EtlError('ETL_INVALID_ARGUMENT', `-f ${name}: holds no object`);
    }
  }
  for (const manifest of manifests) checkNamespace(manifest, globals);
  return { manifests, versions, findings, files: inputs.length };
}

/** The manifests, after printing what is wrong with any; throws when one has an error. */
export async function loadManifests(
  selection: FileSelection,
  globals: GlobalOptions,
  io: Io,
): Promise<ReadManifests> {
  const read = await readManifests(selection, globals, io);
  const { findings } = read;
  printFindings(findings, io);
  const errors = findings.filter(isErrorFinding).length;
  if (errors > 0) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `${errors} error${errors === 1 ? '' : 's'} in the manifests; nothing was sent`,
    );
  }
  return read;
}

/** The resourceVersion that the manifest carried, if any. */
export function versionOf({ versions }: ReadManifests, manifest: Manifest): string | undefined {
  const { namespace, name } = manifest.metadata;
  return versions.get(describeObject(manifest.kind, namespace, name));
}

/** One line on standard error for each finding. */
export function printFindings(
  findings: readonly (Finding & { readonly file: string })[],
  io: Io,
): void {
  for (const finding of findings) {
    io.err(
      `${finding.severity}: ${printable(`${finding.file}: ${formatFinding(finding)} [${finding.code}]`)}\n`,
    );
  }
}

function checkNamespace(manifest: Manifest, globals: GlobalOptions): void {
  const { namespace, name } = manifest.metadata;
  if (globals.namespace === undefined || namespace === globals.namespace) return;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `${manifest.kind} ${name} is of namespace ${namespace}, but --namespace says ${globals.namespace}; leave one out`,
  );
}
