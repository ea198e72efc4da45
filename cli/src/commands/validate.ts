// `etlctl validate`: everything a router would say of manifests that can be said without one.

import { EtlError } from '@etl-router/core';
import {
  isErrorFinding,
  lookupIn,
  normalizePipeline,
  validatePipeline,
} from '@etl-router/pipeline';
import type { CommandResult, GlobalOptions, Io } from '../io.ts';
import { printFindings, readManifests } from '../manifests.ts';

export interface ValidateRequest {
  readonly paths: readonly string[];
  readonly recursive: boolean;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

/** Exit code 2 when a manifest has an error; references to objects of no file are warnings. */
export async function validate(request: ValidateRequest): Promise<CommandResult> {
  const read = await readManifests(request, request.globals, request.io);
  const lookup = lookupIn(read.manifests);
  const findings = [...read.findings];
  for (const manifest of read.manifests) {
    if (manifest.kind !== 'EtlPipeline') continue;
    const normalized = normalizePipeline(manifest, lookup);
    const { pipeline } = normalized;
    const more = pipeline === undefined ? [] : validatePipeline(pipeline);
    findings.push(
      ...[...normalized.findings, ...more].map((finding) => ({
        ...finding,
        file: request.paths.join(', '),
      })),
    );
  }
  const errors = findings.filter(isErrorFinding).length;
  const warnings = findings.length - errors;
  printFindings(findings, request.io);
  const objects = `${read.manifests.length} object${read.manifests.length === 1 ? '' : 's'}`;
  if (errors > 0) {
    const line = `${errors} error${errors === 1 ? '' : 's'} in ${objects} of ${read.files} file${read.files === 1 ? '' : 's'}`;
    const failures = [new EtlError('ETL_INVALID_ARGUMENT', line)];
    return { summary: '', result: findings, failures };
  }
  const warned = warnings === 0 ? '' : `, ${warnings} warning${warnings === 1 ? '' : 's'}`;
  const rest = "connectors' settings are a router's to check: apply --dry-run";
  return { summary: `${objects} valid${warned} (${rest})`, result: findings };
}
