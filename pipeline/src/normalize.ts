// The one normaliser: whatever shape a pipeline was written in (a line of stages, a graph), out comes the model of
// model.ts with every default filled in. Structure of the graph is checked by validate.ts, not here.

import { readCondition } from './condition-tree.ts';
import {
  defaultBatch,
  defaultInFlight,
  defaultOverflow,
  defaultRetry,
  defaultWatermark,
} from './defaults.ts';
import { Fields, openFields, type Placed } from './field-reader.ts';
import { type Finding, Findings } from './finding.ts';
import {
  type ConnectorSpec,
  type Delivery,
  type Edge,
  guarantees,
  type Manifest,
  type ObjectKind,
  type Overflow,
  type Pipeline,
  type RetryPolicy,
  type Stage,
  type StageKind,
  type WatermarkPolicy,
} from './model.ts';
import {
  readDagStages,
  readLinearStages,
  readRefName,
  type StageDraft,
} from './normalize-stages.ts';

/** Finds a manifest; the pipeline's own namespace is given. */
export type ManifestLookup = (
  kind: ObjectKind,
  namespace: string,
  name: string,
) => Manifest | undefined;

/** A lookup in a list of manifests. */
export function lookupIn(manifests: Iterable<Manifest>): ManifestLookup {
  const byKey = new Map<string, Manifest>();
  for (const manifest of manifests) {
    const { kind, metadata } = manifest;
    byKey.set(`${kind} ${metadata.namespace}/${metadata.name}`, manifest);
  }
  return (kind, namespace, name) => byKey.get(`${kind} ${namespace}/${name}`);
}

export interface Normalized {
  /** Undefined when a finding is an error. */
  readonly pipeline: Pipeline | undefined;
  readonly findings: readonly Finding[];
}

/** The kind of object that a stage of each kind refers to. */
export const kindOfStage: { readonly [kind in StageKind]: ObjectKind } = {
  source: 'EtlSource',
  transform: 'EtlTransform',
  sink: 'EtlSink',
};

/**
 * The model of an EtlPipeline manifest. References are resolved by `lookup`; one that is not leaves its stage's
 * connector undefined and is reported as a warning, for the object may come later.
 */
export function normalizePipeline(manifest: Manifest, lookup: ManifestLookup): Normalized {
  const { namespace, name } = manifest.metadata;
  const findings = new Findings(`${manifest.kind} ${namespace}/${name}`);
  const spec = new Fields(findings, manifest.spec, 'spec');
  spec.text('description');
  const clusterRef = spec.fields('clusterRef');
  clusterRef?.requiredText('name');
  clusterRef?.end();
  const state = spec.oneOf('state', ['running', 'paused', 'stopped'], 'running');
  const delivery = readDelivery(spec.fields('delivery'));
  const linear = ['source', 'transforms', 'sink', 'sinks'].filter((field) => spec.has(field));
  const { stages: drafts, edges: linearEdges } =
    linear.length > 0 ? readLinearStages(findings, spec, namespace) : { stages: [], edges: [] };
  if (linear.length > 0 && (spec.has('stages') || spec.has('edges'))) {
    spec.report(linear[0] as string, {
      code: 'BadValue',
      message: 'a pipeline is either source, transforms and sink, or stages and edges',
    });
  }
  const dagStages = readDagStages(findings, spec, namespace);
  const edges = spec.list('edges').flatMap((at) => readEdge(findings, at) ?? []);
  const watermark = readWatermark(spec.fields('watermark'));
  const bounds = readLimits(spec.fields('limits'));
  const all = [...drafts, ...dagStages];
  const deadLetter = readDeadLetter(findings, spec.fields('deadLetter'), { all, namespace });
  spec.end();
  if (deadLetter !== undefined) all.push(deadLetter);
  const stages = all.map((draft) => resolveStage(findings, draft, { namespace, lookup }));
  const pipeline: Pipeline = {
    id: `${namespace}/${name}`,
    namespace,
    name,
    state,
    delivery,
    stages,
    edges: [...linearEdges, ...edges],
    watermark,
    limits: bounds,
    deadLetterSink: deadLetter?.name,
  };
  return { pipeline: findings.hasErrors ? undefined : pipeline, findings: findings.list };
}

const dayMs = 86_400_000;

function readDelivery(delivery: Fields | undefined): Delivery {
  const require = delivery?.oneOf('require', guarantees, 'atLeastOnce') ?? 'atLeastOnce';
  const retry = delivery?.fields('retry');
  const backoff = retry?.fields('backoff');
  const maxAttempts =
    retry?.integer('maxAttempts', defaultRetry.maxAttempts, { min: 1, max: 100 }) ??
    defaultRetry.maxAttempts;
  const read = backoff === undefined ? defaultRetry.backoff : readBackoff(backoff);
  for (const fields of [retry, delivery]) fields?.end();
  return { require, retry: { maxAttempts, backoff: read } };
}

function readBackoff(fields: Fields): RetryPolicy['backoff'] {
  const { initialMs, factor, capMs, jitter } = defaultRetry.backoff;
  const delay = { min: 1, max: dayMs };
  const initial = fields.durationMs('initial', initialMs, delay);
  const read = {
    initialMs: initial,
    factor: fields.number('factor', factor, { min: 1, max: 10 }),
    capMs: fields.durationMs('cap', Math.max(capMs, initial), delay),
    jitter: fields.number('jitter', jitter, { min: 0, max: 1 }),
  };
  fields.end();
  if (read.capMs < initial) fields.report('cap', { code: 'BadValue', message: 'is below initial' });
  return read;
}

function readEdge(findings: Findings, at: Placed): Edge | undefined {
  const fields = openFields(findings, at);
  if (fields === undefined) return undefined;
  const from = fields.requiredText('from');
  const to = fields.requiredText('to');
  const when = fields.raw('when');
  const required = fields.boolean('required', true);
  const overflow = readOverflow(fields.fields('overflow'));
  fields.end();
  if (from === undefined || to === undefined) return undefined;
  const condition =
    when === undefined
      ? undefined
      : readCondition(findings, { value: when, path: fields.at('when') });
  return { from, to, when: condition, required, overflow };
}

function readOverflow(fields: Fields | undefined): Overflow {
  if (fields === undefined) return defaultOverflow;
  const policies = ['block', 'spill', 'deadLetter', 'drop'] as const;
  const policy = fields.oneOf('policy', policies, 'block');
  const afterMs = fields.durationMs('after', 0, { min: 0, max: dayMs });
  const spill = fields.fields('spill');
  spill?.oneOf('medium', ['volume'], 'volume');
  const bounds = { min: 1024 * 1024, max: 2 ** 50 };
  const spillMaxBytes =
    spill?.bytes('maxBytes', defaultOverflow.spillMaxBytes, bounds) ??
    defaultOverflow.spillMaxBytes;
  spill?.end();
  fields.end();
  if (spill !== undefined && policy !== 'spill') {
    fields.report('spill', { code: 'BadValue', message: `means nothing with policy ${policy}` });
  }
  return { policy, afterMs, spillMaxBytes };
}

function readWatermark(fields: Fields | undefined): WatermarkPolicy {
  if (fields === undefined) return defaultWatermark;
  const { allowedLatenessMs, idleThresholdMs } = defaultWatermark;
  const idle = fields.fields('idle');
  const field = fields.text('field');
  const policy: WatermarkPolicy = {
    field,
    allowedLatenessMs: fields.durationMs('allowedLateness', allowedLatenessMs, {
      min: 0,
      max: 30 * dayMs,
    }),
    idleThresholdMs:
      idle?.durationMs('threshold', idleThresholdMs, { min: 1, max: dayMs }) ?? idleThresholdMs,
    late: fields.oneOf('late', ['keep', 'drop', 'deadLetter'], defaultWatermark.late),
  };
  idle?.end();
  fields.end();
  if (field !== undefined && !/^data(?:\.[^.]+){1,20}$/.test(field)) {
    fields.report('field', {
      code: 'BadValue',
      message: 'needs a dotted path into the payload',
      suggestion: 'write data.updated_at, for example',
    });
  }
  return policy;
}

function readLimits(fields: Fields | undefined): Pipeline['limits'] {
  if (fields === undefined) return defaultInFlight;
  const { inFlightRecords, inFlightBytes } = defaultInFlight;
  const read = {
    inFlightRecords: fields.integer('inFlightRecords', inFlightRecords, { min: 1, max: 10 ** 7 }),
    inFlightBytes: fields.bytes('inFlightBytes', inFlightBytes, { min: 64 * 1024, max: 2 ** 40 }),
  };
  fields.end();
  return read;
}

function readDeadLetter(
  findings: Findings,
  fields: Fields | undefined,
  pipeline: { readonly all: readonly StageDraft[]; readonly namespace: string },
): StageDraft | undefined {
  if (fields === undefined) return undefined;
  const path = fields.at('sinkRef');
  const value = fields.raw('sinkRef');
  if (value === undefined) fields.report('sinkRef', { code: 'MissingField', message: 'is needed' });
  fields.end();
  if (value === undefined) return undefined;
  const ref = readRefName(
    findings,
    { value, path },
    { kind: 'sink', namespace: pipeline.namespace },
  );
  if (ref === undefined) return undefined;
  const taken = new Set(pipeline.all.map((stage) => stage.name));
  let name = 'dead-letters';
  for (let count = 2; taken.has(name); count++) name = `dead-letters-${count}`;
  return { name, kind: 'sink', ref, batch: defaultBatch, path };
}

function resolveStage(
  findings: Findings,
  draft: StageDraft,
  scope: { readonly namespace: string; readonly lookup: ManifestLookup },
): Stage {
  const { name, kind, ref, batch, path } = draft;
  const target = scope.lookup(kindOfStage[kind], scope.namespace, ref);
  if (target === undefined) reportUnresolved(findings, draft, scope);
  const connector = target === undefined ? undefined : connectorOf(target);
  if (target !== undefined && connector === undefined) {
    const message = `${target.kind} ${ref} names no connector`;
    findings.add({ code: 'MissingField', path, message, severity: 'warning' });
  }
  return { name, kind, ref, connector, batch };
}

/** What an EtlSource, EtlTransform or EtlSink runs with: the one key of its spec; undefined when there is not one. */
export function connectorOf(manifest: Manifest): ConnectorSpec | undefined {
  const types = Object.keys(manifest.spec).filter((key) => !commonSpecFields.includes(key));
  const [type] = types;
  if (type === undefined || types.length > 1) return undefined;
  const config = manifest.spec[type];
  const isMap = typeof config === 'object' && config !== null && !Array.isArray(config);
  return { type, config: isMap ? (config as ConnectorSpec['config']) : {} };
}

/** Fields that an EtlSource, EtlTransform or EtlSink may have beside its connector. */
export const commonSpecFields: readonly string[] = ['clusterRef', 'description'];

function reportUnresolved(
  findings: Findings,
  draft: StageDraft,
  scope: { readonly namespace: string; readonly lookup: ManifestLookup },
): void {
  const { kind, ref, path } = draft;
  const wanted = kindOfStage[kind];
  const others = Object.values(kindOfStage).filter((other) => other !== wanted);
  const other = others.find((candidate) => scope.lookup(candidate, scope.namespace, ref));
  findings.add(
    other === undefined
      ? {
          code: 'UnresolvedRef',
          severity: 'warning',
          path,
          message: `there is no ${wanted} ${JSON.stringify(ref)} in namespace ${scope.namespace}`,
          suggestion: `apply it; until then the pipeline waits`,
        }
      : {
          code: 'KindMismatch',
          severity: 'warning',
          path,
          message: `${JSON.stringify(ref)} is an ${other}, not an ${wanted}`,
        },
  );
}
