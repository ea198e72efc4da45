// Reads the stages of a pipeline in both shapes: a line (source, transforms, sink or sinks) and a graph (stages). A
// reference is a name, `{ref: name}`, `{name: name}` or `{sourceRef: {name: name}}`; all mean the same.

import { limits } from '@etl-router/core';
import { defaultBatch, defaultOverflow } from './defaults.ts';
import { Fields, isJsonObject, openFields, type Placed } from './field-reader.ts';
import type { Findings } from './finding.ts';
import type { Edge, Stage, StageKind } from './model.ts';
import { labelProblem, subdomainProblem, toLabel } from './names.ts';

/** A stage before its reference is resolved, and where it was written. */
export interface StageDraft extends Omit<Stage, 'connector'> {
  readonly path: string;
}

interface RefScope {
  readonly kind: StageKind;
  readonly namespace: string;
}

/** The name that a reference gives; undefined when it was reported. */
export function readRefName(findings: Findings, at: Placed, scope: RefScope): string | undefined {
  const checked = (name: string | undefined, path: string): string | undefined => {
    const message = name === undefined ? undefined : subdomainProblem(name);
    if (message === undefined) return name;
    findings.add({ code: 'BadName', path, message });
    return undefined;
  };
  if (typeof at.value === 'string') return checked(at.value, at.path);
  const fields = openFields(findings, at);
  if (fields === undefined) return undefined;
  const field = fields.has('ref') ? 'ref' : 'name';
  const name = fields.requiredText(field);
  const namespace = fields.text('namespace');
  const kind = fields.text('kind');
  fields.end();
  if (namespace !== undefined && namespace !== scope.namespace) {
    fields.report('namespace', {
      code: 'CrossNamespaceRef',
      message: `references stay in the pipeline's namespace, ${scope.namespace}`,
    });
  }
  const wanted = `Etl${scope.kind[0]?.toUpperCase()}${scope.kind.slice(1)}`;
  if (kind !== undefined && kind !== wanted) {
    fields.report('kind', { code: 'KindMismatch', message: `needs ${wanted}` });
  }
  return checked(name, fields.at(field));
}

/** The stages under `spec.stages`. */
export function readDagStages(
  findings: Findings,
  spec: Fields,
  namespace: string,
): readonly StageDraft[] {
  const items = spec.list('stages');
  if (items.length > limits.pipelineMaxStages) {
    const message = `${items.length} stages are more than ${limits.pipelineMaxStages}`;
    spec.report('stages', { code: 'TooLarge', message });
    return [];
  }
  return items.flatMap((at) => readDagStage(findings, at, namespace) ?? []);
}

const refFields = { sourceRef: 'source', transformRef: 'transform', sinkRef: 'sink' } as const;
const refNames = Object.keys(refFields) as (keyof typeof refFields)[];

function readDagStage(findings: Findings, at: Placed, namespace: string): StageDraft | undefined {
  const fields = openFields(findings, at);
  if (fields === undefined) return undefined;
  const name = fields.requiredText('name');
  const given = refNames.filter((field) => fields.has(field));
  const [field] = given;
  const refs = refNames.map((known) => ({ value: fields.raw(known), path: fields.at(known) }));
  const batch = readBatch(fields.fields('batch'));
  warnOfScale(fields);
  const meant = fields.end();
  if (given.length > 1 || !refNames.some((known) => fields.has(known) || meant.has(known))) {
    const message = `needs one of ${refNames.join(', ')}`;
    fields.report('', { code: given.length > 1 ? 'BadValue' : 'MissingField', message });
  }
  const problem = name === undefined ? undefined : labelProblem(name);
  if (problem !== undefined) fields.report('name', { code: 'BadName', message: problem });
  if (name === undefined || field === undefined) return undefined;
  const kind = refFields[field];
  const placed = refs[refNames.indexOf(field)] as Placed;
  const ref = readRefName(findings, placed, { kind, namespace });
  return ref === undefined ? undefined : { name, kind, ref, batch, path: placed.path };
}

/** A stage runs once per lane; more of it comes with more lanes, not with a number here. */
function warnOfScale(fields: Fields): void {
  const scale = fields.fields('scale');
  if (scale === undefined) return;
  const min = scale.integer('min', 1, { min: 0, max: 1000 });
  const max = scale.integer('max', Math.max(1, min), { min: 1, max: 1000 });
  scale.end();
  if (max < min) scale.report('max', { code: 'BadValue', message: 'is below min' });
  scale.report('', {
    code: 'Unsupported',
    severity: 'warning',
    message: 'stages are not scaled by this version; the field has no effect',
  });
}

function readBatch(fields: Fields | undefined): Stage['batch'] {
  if (fields === undefined) return defaultBatch;
  const batch = {
    maxRecords: fields.integer('maxRecords', undefined, { min: 1, max: 1_000_000 }),
    maxBytes: fields.bytes('maxBytes', undefined, { min: 1024, max: 1024 ** 3 }),
    maxWaitMs: fields.durationMs('maxWait', undefined, { min: 0, max: 3_600_000 }),
  };
  fields.end();
  return batch;
}

/** The stages and edges of a line: `source`, `transforms`, and `sink` or `sinks`. */
export function readLinearStages(
  findings: Findings,
  spec: Fields,
  namespace: string,
): { readonly stages: readonly StageDraft[]; readonly edges: readonly Edge[] } {
  const source = placedField(spec, 'source');
  const transforms = spec.list('transforms');
  const sink = placedField(spec, 'sink');
  const sinks = spec.list('sinks');
  if (sink !== undefined && sinks.length > 0) {
    spec.report('sinks', { code: 'BadValue', message: 'say sink or sinks, not both' });
  }
  if (source === undefined) spec.report('source', { code: 'MissingField', message: 'is needed' });
  if (sink === undefined && sinks.length === 0) {
    spec.report('sink', { code: 'MissingField', message: 'is needed' });
  }
  if (transforms.length + sinks.length + 2 > limits.pipelineMaxStages) {
    const message = `more than ${limits.pipelineMaxStages} stages`;
    spec.report('transforms', { code: 'TooLarge', message });
    return { stages: [], edges: [] };
  }
  const taken = new Set<string>();
  const read = (kind: StageKind) => (at: Placed) =>
    readLinearStage(findings, at, { kind, namespace, taken }) ?? [];
  const line = [
    ...(source === undefined ? [] : [source].flatMap(read('source'))),
    ...transforms.flatMap(read('transform')),
  ];
  const ends = [...(sink === undefined ? [] : [sink]), ...sinks].flatMap(read('sink'));
  const edges: Edge[] = [];
  for (const [index, { name }] of line.entries()) {
    const next = line[index + 1];
    const targets = next === undefined ? ends : [next];
    for (const target of targets) {
      edges.push({
        from: name,
        to: target.name,
        when: undefined,
        required: true,
        overflow: defaultOverflow,
      });
    }
  }
  return { stages: [...line, ...ends], edges };
}

function placedField(spec: Fields, name: string): Placed | undefined {
  const value = spec.raw(name);
  return value === undefined ? undefined : { value, path: spec.at(name) };
}

interface LinearScope extends RefScope {
  /** Names in use; the stage's own is added. */
  readonly taken: Set<string>;
}

/** An item of a line: any spelling of a reference, or a stage of its own with `name`, the reference and `batch`. */
function readLinearStage(
  findings: Findings,
  at: Placed,
  scope: LinearScope,
): StageDraft | undefined {
  const refField = `${scope.kind}Ref`;
  let placed = at;
  let name: string | undefined;
  let batch = defaultBatch;
  if (isJsonObject(at.value) && (refField in at.value || 'batch' in at.value)) {
    const fields = new Fields(findings, at.value, at.path);
    name = fields.text('name');
    batch = readBatch(fields.fields('batch'));
    const field = fields.has('ref') ? 'ref' : refField;
    const value = fields.raw(field);
    fields.end();
    const problem = name === undefined ? undefined : labelProblem(name);
    if (problem !== undefined) fields.report('name', { code: 'BadName', message: problem });
    if (value === undefined) {
      fields.report(field, { code: 'MissingField', message: 'is needed' });
      return undefined;
    }
    placed = { value, path: fields.at(field) };
  }
  const ref = readRefName(findings, placed, scope);
  if (ref === undefined) return undefined;
  const unique = uniqueName(name ?? toLabel(ref), scope.taken);
  return { name: unique, kind: scope.kind, ref, batch, path: placed.path };
}

function uniqueName(wanted: string, taken: Set<string>): string {
  let name = wanted;
  for (let count = 2; taken.has(name); count++) name = `${wanted.slice(0, 58)}-${count}`;
  taken.add(name);
  return name;
}
