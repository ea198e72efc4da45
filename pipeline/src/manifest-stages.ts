// The stage manifests of the earlier system (etl.dev/v1, kind Pipeline): a list of stages whose order is the flow, with
// fan-in and fan-out stages that stand for several sources or sinks. One becomes an EtlPipeline and one object for
// each stage that names a service. What has no meaning in the graph is an error, never left out.

import { Fields, openFields, type Placed } from './field-reader.ts';
import type { Findings } from './finding.ts';
import {
  apiVersion,
  type Json,
  type JsonObject,
  type Manifest,
  type ObjectMetadata,
  type StageKind,
} from './model.ts';
import { toLabel } from './names.ts';
import { didYouMean } from './suggest.ts';

/** apiVersion of stage manifests. */
export const stageManifestVersion = 'etl.dev/v1';

const stageTypes = ['source', 'transform', 'sink', 'fan-in', 'fan-out', 'lookup'] as const;
type StageType = (typeof stageTypes)[number];

/** A stage of today: its name and the object it refers to. */
interface Made {
  readonly name: string;
  readonly kind: StageKind;
  readonly spec: JsonObject;
}

interface Conversion {
  readonly findings: Findings;
  readonly metadata: ObjectMetadata;
  readonly made: Made[];
  watermark: { [name: string]: Json };
}

/** The manifests of today that a stage manifest means. Reports into `findings` what it can not mean. */
export function convertStageManifest(
  findings: Findings,
  metadata: ObjectMetadata,
  spec: JsonObject,
): readonly Manifest[] {
  const conversion: Conversion = { findings, metadata, made: [], watermark: {} };
  const fields = new Fields(findings, spec, 'spec');
  const description = fields.text('description');
  const enabled = fields.boolean('enabled', true);
  const items = fields.list('stages');
  fields.end();
  if (items.length === 0)
    fields.report('stages', { code: 'MissingField', message: 'needs stages' });
  const edges: Json[] = [];
  let previous: readonly string[] = [];
  for (const item of items) {
    const names = convertStage(conversion, item);
    for (const from of previous) for (const to of names) edges.push({ from, to });
    previous = names;
  }
  const { made, watermark } = conversion;
  const pipelineSpec: JsonObject = {
    ...(description === undefined ? {} : { description }),
    state: enabled ? 'running' : 'stopped',
    stages: made.map(({ name, kind }) => ({
      name,
      [`${kind}Ref`]: { name: objectName(metadata, name) },
    })),
    edges,
    ...(Object.keys(watermark).length === 0 ? {} : { watermark }),
  };
  const objects = made.map(({ name, kind, spec: stageSpec }): Manifest => {
    const { namespace, labels } = metadata;
    const own = { name: objectName(metadata, name), namespace, labels, annotations: {} };
    return { apiVersion, kind: kindOf[kind], metadata: own, spec: stageSpec };
  });
  return [...objects, { apiVersion, kind: 'EtlPipeline', metadata, spec: pipelineSpec }];
}

const kindOf = { source: 'EtlSource', transform: 'EtlTransform', sink: 'EtlSink' } as const;

function objectName(metadata: ObjectMetadata, stage: string): string {
  return `${metadata.name}-${stage}`;
}

/** Adds what one stage stands for; returns the names that its neighbours are joined to. */
function convertStage(conversion: Conversion, at: Placed): readonly string[] {
  const fields = openFields(conversion.findings, at);
  if (fields === undefined) return [];
  const given = fields.requiredText('type');
  const type = stageTypes.find((known) => known === given);
  if (given !== undefined && type === undefined) {
    const message = `${JSON.stringify(given.slice(0, 100))} is none of ${stageTypes.join(', ')}`;
    fields.report('type', { code: 'BadValue', message, suggestion: didYouMean(given, stageTypes) });
  }
  if (type === undefined) return [];
  return convertTyped(conversion, fields, type);
}

function convertTyped(conversion: Conversion, fields: Fields, type: StageType): readonly string[] {
  const parallelism = fields.integer('parallelism', 1, { min: 1, max: 1000 });
  if (parallelism > 1) {
    unsupported(fields, 'parallelism', 'work is spread by partitions of the source');
  }
  if (type === 'lookup') {
    unsupported(
      fields,
      'type',
      'a lookup is an EtlTransform with `lookup`, or a transform service',
    );
    return [];
  }
  if (type !== 'fan-in' && type !== 'fan-out') return convertPlain(conversion, fields, type);
  const id = readId(fields);
  const members = type === 'fan-in' ? fields.list('sources') : fields.list('sinks');
  const kind = type === 'fan-in' ? 'source' : 'sink';
  readWatermark(conversion, fields.fields('watermark'));
  fields.end();
  const least = type === 'fan-in' ? 2 : 1;
  if (members.length < least) {
    const message = `${type} needs at least ${least} ${kind}s`;
    fields.report(`${kind}s`, { code: 'MissingField', message });
  }
  return members.flatMap((member) => {
    const inner = openFields(conversion.findings, member);
    return inner === undefined ? [] : convertPlain(conversion, inner, kind, id);
  });
}

function convertPlain(
  conversion: Conversion,
  fields: Fields,
  kind: StageKind,
  prefix?: string,
): readonly string[] {
  const id = readId(fields);
  const service = readService(fields);
  const config = fields.raw('config');
  if (fields.has('mapping'))
    unsupported(fields, 'mapping', 'put an EtlTransform with `map` before or after');
  fields.raw('mapping');
  readWatermark(conversion, fields.fields('watermark'));
  fields.end();
  if (id === undefined) return [];
  const name = toLabel(prefix === undefined ? id : `${prefix}-${id}`);
  const endpoint = sinkEndpoint(config);
  if (service === undefined && endpoint === undefined) {
    fields.report('service', {
      code: 'MissingField',
      message: 'is needed: the stage has no service to run it',
      suggestion: `name one, or write an Etl${kind[0]?.toUpperCase()}${kind.slice(1)} with a built-in connector`,
    });
    return [];
  }
  const spec: JsonObject = {
    grpc: {
      ...(service === undefined ? { endpoint: endpoint as string } : { service }),
      ...(config === undefined ? {} : { config }),
    },
  };
  conversion.made.push({ name, kind, spec });
  return [name];
}

function readId(fields: Fields): string | undefined {
  const id = fields.requiredText('id');
  fields.text('name');
  if (id !== undefined && toLabel(id) === '') {
    fields.report('id', { code: 'BadName', message: 'holds no letter or digit' });
    return undefined;
  }
  return id;
}

function readService(fields: Fields): string | undefined {
  const service = fields.fields('service');
  if (service === undefined) return undefined;
  const name = service.requiredText('name');
  for (const field of ['group', 'labels', 'load_balance']) {
    if (service.has(field)) unsupported(service, field, 'a service is chosen by its name');
    service.raw(field);
  }
  service.end();
  return name;
}

/** A sink of type grpc carries its own endpoint. */
function sinkEndpoint(config: Json | undefined): string | undefined {
  if (typeof config !== 'object' || config === null || Array.isArray(config)) return undefined;
  const { sink_type: type, endpoint } = config as JsonObject;
  return type === 'grpc' && typeof endpoint === 'string' ? endpoint : undefined;
}

/** Watermarks belong to the whole pipeline now: all that are stated have to agree. */
function readWatermark(conversion: Conversion, fields: Fields | undefined): void {
  if (fields === undefined) return;
  const stated: { [name: string]: Json | undefined } = {
    allowedLateness: fields.text('allowed_lateness'),
    field: fields.text('event_time_field'),
    idle: fields.text('idle_timeout'),
  };
  if (typeof stated['idle'] === 'string') stated['idle'] = { threshold: stated['idle'] };
  if (typeof stated['field'] === 'string') stated['field'] = `data.${stated['field']}`;
  fields.end();
  for (const [name, value] of Object.entries(stated)) {
    if (value === undefined) continue;
    const known = conversion.watermark[name];
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(value)) {
      unsupported(fields, '', 'the watermarks of one pipeline have to agree');
    }
    conversion.watermark[name] = value;
  }
}

function unsupported(fields: Fields, name: string, suggestion: string): void {
  fields.report(name, { code: 'Unsupported', message: 'is not offered', suggestion });
}
