// The manifest of a pipeline in a request: given whole, or as its spec with a name beside it.

import { EtlError, stringifyJsonText } from '@etl-router/core';
import {
  apiVersion,
  isErrorFinding,
  type Manifest,
  parseManifests,
  readYaml,
} from '@etl-router/pipeline';
import type { PipelineName } from '@etl-router/proto/admin';
import { findingsError } from '../../server/objects.ts';
import { invalid } from '../../state/names.ts';
import { required } from './fields.ts';

/** The one manifest of a text. Throws ETL_INVALID_ARGUMENT that lists every fault. */
export function toManifest(text: string, namespace: string): Manifest {
  required('manifest', text);
  const { manifests, findings } = parseManifests(text, namespace === '' ? {} : { namespace });
  if (findings.some(isErrorFinding)) throw findingsError(findings);
  const [manifest] = manifests;
  if (manifest !== undefined && manifests.length === 1) return manifest;
  throw invalid('manifest', `needs one object, not ${manifests.length}`);
}

/** The pipeline of a manifest, or of a spec that `name` names. */
export function toPipelineManifest(text: string, name: PipelineName | undefined): Manifest {
  const namespace = name?.namespace || 'default';
  const manifest = toManifest(withName(required('manifest', text), name, namespace), namespace);
  if (manifest.kind !== 'EtlPipeline') {
    throw invalid('manifest', `is an ${manifest.kind}, not an EtlPipeline; apply it as an object`);
  }
  const { metadata } = manifest;
  const isOther =
    name !== undefined &&
    name.name !== '' &&
    (name.name !== metadata.name || namespace !== metadata.namespace);
  if (!isOther) return manifest;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `name: is ${namespace}/${name.name}, and the manifest is of ${metadata.namespace}/${metadata.name}; leave one of them out`,
    { details: { field: 'name' } },
  );
}

function withName(text: string, name: PipelineName | undefined, namespace: string): string {
  const { documents, problems } = readYaml(text);
  const value = documents[0]?.value;
  const isSpec =
    problems.length === 0 &&
    documents.length === 1 &&
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !('apiVersion' in value || 'kind' in value);
  if (!isSpec) return text;
  const metadata = { namespace, name: required('name.name', name?.name) };
  return stringifyJsonText({ apiVersion, kind: 'EtlPipeline', metadata, spec: value });
}
