// What people apply, made into manifests: one shape per kind, whatever dialect it was written in. Knows nothing of
// other objects; references are resolved by normalize.ts. Never throws for bad text: findings say what is wrong.

import { EtlError } from '@etl-router/core';
import {
  Fields,
  isJsonObject,
  isList,
  joinPath,
  openFields,
  type Placed,
  typeName,
} from './field-reader.ts';
import { type Finding, Findings, formatFinding, isErrorFinding } from './finding.ts';
import { convertEarlierKind, earlierKinds, isEarlierKind } from './manifest-earlier.ts';
import { convertStageManifest, stageManifestVersion } from './manifest-stages.ts';
import {
  apiVersion,
  type Json,
  type JsonObject,
  type Manifest,
  type ObjectKind,
  type ObjectMetadata,
  objectKinds,
} from './model.ts';
import { labelProblem, subdomainProblem } from './names.ts';
import { commonSpecFields, normalizePipeline } from './normalize.ts';
import { didYouMean } from './suggest.ts';
import { parseYaml, readYaml, type YamlDocument, type YamlLimits } from './yaml-text.ts';

export interface ParseManifestsOptions extends Partial<YamlLimits> {
  /** Namespace of objects that name none. Default `default`. */
  readonly namespace?: string;
}

/** The objects that are well-formed and what is wrong with the others. */
export interface ParsedManifests {
  readonly manifests: readonly Manifest[];
  readonly findings: readonly Finding[];
}

/** `Kind namespace/name`. */
export function describeObject(kind: string, namespace: string, name: string): string {
  return `${kind} ${namespace}/${name}`;
}

/** Every object in a YAML or JSON text; `kind: List` is opened. One bad object does not hide the others. */
export function parseManifests(
  text: string | Uint8Array,
  options: ParseManifestsOptions = {},
): ParsedManifests {
  const { documents, problems } = readYaml(text, options);
  const findings: Finding[] = problems.map(({ code, document, path, message, line }) => ({
    severity: 'error',
    code,
    object: document === undefined ? 'the text' : `document ${document + 1}`,
    path,
    message,
    suggestion: undefined,
    line,
  }));
  const manifests: Manifest[] = [];
  for (const document of documents) {
    for (const item of openList(document)) {
      const read = readManifest(item.value, options.namespace ?? 'default', item.label);
      manifests.push(...read.manifests);
      for (const finding of read.findings) {
        findings.push({ ...finding, line: document.lineOf(item.prefix + finding.path) });
      }
    }
  }
  findings.push(...findDuplicates(manifests));
  return { manifests, findings };
}

/** The manifests of a text that has to be right. Throws ETL_INVALID_ARGUMENT with every error, one a line. */
export function parseManifestsStrictly(
  text: string | Uint8Array,
  options: ParseManifestsOptions = {},
): readonly Manifest[] {
  const { manifests, findings } = parseManifests(text, options);
  const errors = findings.filter(isErrorFinding);
  if (errors.length > 0) {
    throw new EtlError('ETL_INVALID_ARGUMENT', errors.slice(0, 20).map(formatFinding).join('\n'));
  }
  return manifests;
}

/**
 * The objects of a text that is a manifest or only the spec of an EtlPipeline, as GraphQL's createPipeline takes it.
 * Throws ETL_INVALID_ARGUMENT that names `config`, with every error, one a line.
 */
export function parsePipelineConfig(
  text: string,
  target: { readonly name: string; readonly namespace: string },
): readonly Manifest[] {
  const { name, namespace } = target;
  const value = parseYaml(text, 'config');
  const isManifest = isJsonObject(value) && 'kind' in value;
  const whole = isManifest
    ? value
    : { apiVersion, kind: 'EtlPipeline', metadata: { name, namespace }, spec: value };
  const { manifests, findings } = readManifest(whole, namespace, 'config');
  const errors = findings.filter(isErrorFinding);
  if (errors.length === 0) return manifests;
  const lines = errors
    .slice(0, 20)
    .map((finding) => formatFinding({ ...finding, object: 'config' }));
  throw new EtlError('ETL_INVALID_ARGUMENT', lines.join('\n'));
}

/** The objects that one value stands for: one, or several where a dialect keeps them in one. */
export function readManifest(
  value: Json,
  namespace: string,
  label = 'the object',
): ParsedManifests {
  const unnamed = new Findings(label);
  const fields = openFields(unnamed, { value, path: '' });
  if (fields === undefined) return { manifests: [], findings: unnamed.list };
  const version = fields.requiredText('apiVersion');
  const kind = fields.requiredText('kind');
  const metadata = readMetadata(unnamed, fields.fields('metadata'), namespace);
  if (version === undefined || kind === undefined || metadata === undefined) {
    for (const known of ['spec', 'status']) fields.raw(known);
    const meant = fields.end();
    if (!fields.has('metadata') && !meant.has('metadata')) {
      unnamed.add({ code: 'MissingField', path: 'metadata.name', message: 'is needed' });
    }
    return { manifests: [], findings: unnamed.list };
  }
  const findings = new Findings(describeObject(kind, metadata.namespace, metadata.name));
  for (const finding of unnamed.list) findings.add(finding);
  if (!checkKind(findings, version, kind)) return { manifests: [], findings: findings.list };
  const body = new Fields(findings, value as JsonObject, '');
  for (const known of ['apiVersion', 'kind', 'metadata', 'status']) body.raw(known);
  const spec = body.raw('spec') ?? null;
  body.end();
  if (!isJsonObject(spec)) {
    const code = spec === null ? 'MissingField' : 'WrongType';
    findings.add({ code, path: 'spec', message: `needs a map, not ${typeName(spec)}` });
    return { manifests: [], findings: findings.list };
  }
  const manifests = toManifests(findings, { version, kind, metadata, spec });
  return { manifests: findings.hasErrors ? [] : manifests, findings: findings.list };
}

function toManifests(
  findings: Findings,
  object: {
    readonly version: string;
    readonly kind: string;
    readonly metadata: ObjectMetadata;
    readonly spec: JsonObject;
  },
): readonly Manifest[] {
  const { version, kind, metadata, spec } = object;
  if (version === stageManifestVersion) {
    const manifests = convertStageManifest(findings, metadata, spec);
    for (const manifest of manifests) checkSpec(findings, manifest);
    return manifests;
  }
  const manifest: Manifest = isEarlierKind(kind)
    ? convertEarlierKind(findings, kind, { metadata, spec })
    : { apiVersion, kind: kind as ObjectKind, metadata, spec };
  checkSpec(findings, manifest);
  return [manifest];
}

/** Reads the spec once, for what is wrong in it; that references are not resolved here is no fault. */
function checkSpec(findings: Findings, manifest: Manifest): void {
  if (manifest.kind !== 'EtlPipeline') {
    checkConnectorSpec(findings, manifest);
    return;
  }
  for (const finding of normalizePipeline(manifest, () => undefined).findings) {
    if (finding.code !== 'UnresolvedRef') findings.add(finding);
  }
}

function checkConnectorSpec(findings: Findings, { kind, spec }: Manifest): void {
  const fields = new Fields(findings, spec, 'spec');
  fields.text('description');
  const clusterRef = fields.fields('clusterRef');
  clusterRef?.requiredText('name');
  clusterRef?.end();
  const types = fields.names().filter((name) => !commonSpecFields.includes(name));
  for (const type of types) fields.fields(type);
  warnOfSecrets(findings, { value: spec, path: 'spec' });
  if (types.length === 1) return;
  const given = types.length === 0 ? 'none' : types.join(', ');
  fields.report('', {
    code: types.length === 0 ? 'MissingField' : 'BadValue',
    message: `an ${kind} names one connector, such as file or grpc, with its settings; here: ${given}`,
  });
}

const secretName = /^(?:password|passwd|secret|secretkey|token|apikey|privatekey|sas|credential)$/i;
const urlWithPassword = /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s:@]*:[^/?#\s@]+@/i;

/** A secret in a manifest is in every backup, log of changes and screen that shows the object. */
function warnOfSecrets(findings: Findings, { value, path }: Placed): void {
  if (isList(value)) {
    for (const [index, item] of value.entries()) {
      warnOfSecrets(findings, { value: item, path: `${path}[${index}]` });
    }
  }
  if (!isJsonObject(value)) return;
  for (const [name, member] of Object.entries(value)) {
    const at = joinPath(path, name);
    const plain = typeof member === 'string' && member !== '' ? member : undefined;
    const named = secretName.test(name.replace(/[-_]/g, ''));
    if (plain !== undefined && (named || urlWithPassword.test(plain))) {
      findings.add({
        code: 'InlineSecret',
        severity: 'warning',
        path: at,
        message: 'a secret stands in the manifest itself',
        suggestion: 'refer to it with {secretKeyRef: {name, key}}',
      });
    }
    warnOfSecrets(findings, { value: member, path: at });
  }
}

function checkKind(findings: Findings, version: string, kind: string): boolean {
  if (version === stageManifestVersion) {
    if (kind === 'Pipeline') return true;
    const message = `${version} has no kind ${JSON.stringify(kind.slice(0, 100))} here, only Pipeline`;
    findings.add({ code: 'UnknownKind', path: 'kind', message });
    return false;
  }
  if (version !== apiVersion) {
    findings.add({
      code: 'UnknownKind',
      path: 'apiVersion',
      message: `${JSON.stringify(version.slice(0, 100))} is not ${apiVersion} or ${stageManifestVersion}`,
      suggestion: didYouMean(version, [apiVersion, stageManifestVersion]),
    });
    return false;
  }
  const kinds = [...objectKinds, ...earlierKinds];
  if (kinds.some((known) => known === kind)) return true;
  findings.add({
    code: 'UnknownKind',
    path: 'kind',
    message: `${JSON.stringify(kind.slice(0, 100))} is none of ${objectKinds.join(', ')}`,
    suggestion: didYouMean(kind, kinds),
  });
  return false;
}

/** Fields of metadata that a Kubernetes server writes; they come with `kubectl get -o yaml` and mean nothing here. */
const serverMetadata = [
  'creationTimestamp',
  'deletionGracePeriodSeconds',
  'deletionTimestamp',
  'finalizers',
  'generateName',
  'generation',
  'managedFields',
  'ownerReferences',
  'resourceVersion',
  'selfLink',
  'uid',
];

function readMetadata(
  findings: Findings,
  fields: Fields | undefined,
  fallbackNamespace: string,
): ObjectMetadata | undefined {
  if (fields === undefined) return undefined;
  const name = fields.requiredText('name');
  const namespace = fields.text('namespace') ?? fallbackNamespace;
  const problems = [
    ['name', name === undefined ? undefined : subdomainProblem(name)],
    ['namespace', labelProblem(namespace)],
  ] as const;
  for (const [field, message] of problems) {
    if (message !== undefined) fields.report(field, { code: 'BadName', message });
  }
  const labels = readTextMap(findings, fields, 'labels');
  const annotations = readTextMap(findings, fields, 'annotations');
  for (const known of serverMetadata) fields.raw(known);
  fields.end();
  return name === undefined ? undefined : { name, namespace, labels, annotations };
}

const maxAnnotationBytes = 256 * 1024;

function readTextMap(
  findings: Findings,
  fields: Fields,
  name: 'labels' | 'annotations',
): { readonly [key: string]: string } {
  const map = fields.fields(name);
  const read: { [key: string]: string } = {};
  let bytes = 0;
  for (const key of map?.names() ?? []) {
    const value = map?.text(key);
    if (value === undefined) continue;
    read[key] = value;
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    if (name === 'labels' && !/^(?:[A-Za-z0-9](?:[-\w.]{0,61}[A-Za-z0-9])?)?$/.test(value)) {
      map?.report(key, {
        code: 'BadValue',
        message: 'a label has at most 63 of A-Z, a-z, 0-9, -, _ and .',
      });
    }
  }
  if (bytes > maxAnnotationBytes) {
    findings.add({
      code: 'TooLarge',
      path: fields.at(name),
      message: `more than ${maxAnnotationBytes} bytes`,
    });
  }
  return read;
}

interface ListItem {
  readonly value: Json;
  readonly label: string;
  /** Path of the item in its document, with the dot that joins it to a path inside. */
  readonly prefix: string;
}

function openList(document: YamlDocument): readonly ListItem[] {
  const { value, index } = document;
  const label = `document ${index + 1}`;
  if (!isJsonObject(value) || value['apiVersion'] !== 'v1' || value['kind'] !== 'List') {
    return [{ value, label, prefix: '' }];
  }
  const items = value['items'];
  if (!Array.isArray(items)) return [];
  return items.map((item: Json, at) => ({
    value: item,
    label: `${label}, item ${at + 1}`,
    prefix: `items[${at}].`,
  }));
}

function findDuplicates(manifests: readonly Manifest[]): Finding[] {
  const seen = new Set<string>();
  const findings: Finding[] = [];
  for (const { kind, metadata } of manifests) {
    const object = describeObject(kind, metadata.namespace, metadata.name);
    if (seen.has(object)) {
      const report = new Findings(object);
      report.add({
        code: 'DuplicateObject',
        path: 'metadata.name',
        message: 'the object appears more than once',
        suggestion: 'keep one of them or give it another name',
      });
      findings.push(...report.list);
    }
    seen.add(object);
  }
  return findings;
}
