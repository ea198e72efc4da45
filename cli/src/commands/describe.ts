// `etlctl describe`: one object with its state, for people.

import { EtlError } from '@etl-router/core';
import { RouterClient } from '../client.ts';
import { type CommandResult, type GlobalOptions, type Io, printableLine } from '../io.ts';
import { renderAge, renderRate, renderTable, renderYaml } from '../output.ts';
import { kindOf, parseTarget } from '../resources.ts';
import { notFound } from './get.ts';

export interface DescribeRequest {
  readonly resource: string;
  readonly name: string | undefined;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

interface PipelineDetail {
  readonly pipelineId: string;
  readonly name: string;
  readonly namespace: string;
  readonly state: string;
  readonly phase: string;
  readonly message: string | null;
  readonly version: number;
  readonly guarantee: {
    readonly delivery: string;
    readonly required: string;
    readonly weakestLink: string | null;
    readonly reason: string | null;
  };
  readonly unresolvedRefs: readonly {
    readonly stage: string;
    readonly kind: string;
    readonly name: string;
  }[];
  readonly stages: readonly {
    readonly name: string;
    readonly kind: string;
    readonly ref: string;
    readonly connector: string | null;
    readonly resolved: boolean;
  }[];
  readonly graph: string;
  readonly rates: {
    readonly recordsIn: string;
    readonly recordsInPerSecond: number;
    readonly inFlightRecords: string;
    readonly lagRecords: string | null;
    readonly watermark: string | null;
    readonly stages: readonly {
      readonly stage: string;
      readonly recordsIn: string;
      readonly recordsOut: string;
      readonly filtered: string;
      readonly failed: string;
      readonly deadLettered: string;
      readonly lastError: string | null;
    }[];
  } | null;
  readonly offsets: readonly {
    readonly source: string;
    readonly partition: string;
    readonly epoch: string;
    readonly position: string | null;
    readonly lagRecords: string | null;
  }[];
  readonly deadLetters: number;
}

const pipelineDocument = `query ($id: ID!) {
  pipeline(pipelineId: $id) {
    pipelineId name namespace state phase message version
    guarantee { delivery required weakestLink reason }
    unresolvedRefs { stage kind name }
    stages { name kind ref connector resolved }
    graph
    rates { recordsIn recordsInPerSecond inFlightRecords lagRecords watermark
      stages { stage recordsIn recordsOut filtered failed deadLettered lastError } }
    offsets { source partition epoch position lagRecords }
    deadLetters
  }
}`;

const objectDocument = `query ($kind: ObjectKind!, $namespace: String!, $name: String!) {
  object(kind: $kind, namespace: $namespace, name: $name) { uid resourceVersion generation createdAt manifest status }
}`;

const serviceDocument = `query {
  services { serviceId serviceName serviceType endpoint labels { key value } health groupId registeredAt lastHeartbeat }
}`;

/** The description as text, and the object itself for `-o json`. */
export async function describe(request: DescribeRequest): Promise<CommandResult> {
  const { resource, name } = parseTarget(request.resource, request.name);
  if (name === undefined) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `name what to describe: etlctl describe ${request.resource} NAME`,
    );
  }
  const client = new RouterClient(request.globals, request.io);
  const namespace = request.globals.defaultNamespace;
  if (resource === 'services') return describeService(client, name, request.io);
  if (resource === 'pipelines') return describePipeline(client, name, namespace);
  const { object } = await client.query<{
    object: { readonly manifest: object; readonly status: object } | null;
  }>(objectDocument, {
    kind: kindOf[resource],
    namespace,
    name,
  });
  if (object === null) throw notFound(resource, name, namespace);
  return {
    summary: (await renderYaml({ ...object.manifest, status: object.status })).trimEnd(),
    result: object,
  };
}

interface ServiceDetail {
  readonly serviceId: string;
  readonly serviceName: string;
  readonly serviceType: string;
  readonly endpoint: string;
  readonly labels: readonly { readonly key: string; readonly value: string }[];
  readonly health: string;
  readonly groupId: string | null;
  readonly registeredAt: string;
  readonly lastHeartbeat: string;
}

async function describeService(client: RouterClient, name: string, io: Io): Promise<CommandResult> {
  const { services } = await client.query<{ services: ServiceDetail[] }>(serviceDocument);
  const found = services.filter(
    (service) => service.serviceId === name || service.serviceName === name,
  );
  if (found.length === 0) throw notFound('services', name, undefined);
  const summary = found
    .map((service) =>
      renderFields([
        ['Name', service.serviceName],
        ['ID', service.serviceId],
        ['Type', service.serviceType.toLowerCase()],
        ['Endpoint', service.endpoint],
        ['Health', service.health.toLowerCase()],
        ['Group', service.groupId ?? '-'],
        ['Labels', service.labels.map(({ key, value }) => `${key}=${value}`).join(', ') || '-'],
        [
          'Registered',
          `${service.registeredAt} (${renderAge(service.registeredAt, io.clock)} ago)`,
        ],
        [
          'Last heartbeat',
          `${service.lastHeartbeat} (${renderAge(service.lastHeartbeat, io.clock)} ago)`,
        ],
      ]),
    )
    .join('\n\n');
  return { summary, result: found.length === 1 ? found[0] : found };
}

async function describePipeline(
  client: RouterClient,
  name: string,
  namespace: string,
): Promise<CommandResult> {
  const id = `${namespace}/${name}`;
  const { pipeline } = await client.query<{ pipeline: PipelineDetail | null }>(pipelineDocument, {
    id,
  });
  if (pipeline === null) throw notFound('pipelines', name, namespace);
  const { guarantee, rates } = pipeline;
  const sections = [
    renderFields([
      ['Name', pipeline.name],
      ['Namespace', pipeline.namespace],
      ['State', pipeline.state],
      [
        'Phase',
        pipeline.message === null ? pipeline.phase : `${pipeline.phase}: ${pipeline.message}`,
      ],
      ['Version', String(pipeline.version)],
      ['Guarantee', `${guarantee.delivery} (required: ${guarantee.required})`],
      ...(guarantee.weakestLink === null
        ? []
        : [['Weakest link', `${guarantee.weakestLink}: ${guarantee.reason ?? ''}`] as const]),
      ['Dead letters', String(pipeline.deadLetters)],
      ...(rates === null
        ? []
        : ([
            [
              'Records',
              `${rates.recordsIn} in, ${renderRate(rates.recordsInPerSecond)}, ${rates.inFlightRecords} in flight`,
            ],
            ['Lag', rates.lagRecords === null ? '-' : `${rates.lagRecords} records`],
            ['Watermark', rates.watermark ?? '-'],
          ] as const)),
    ]),
    `Graph:\n${pipeline.graph.trimEnd()}`,
    `Stages:\n${indent(renderStages(pipeline))}`,
  ];
  if (pipeline.unresolvedRefs.length > 0) {
    const refs = pipeline.unresolvedRefs.map(
      (ref) => `  ${ref.stage}: no ${ref.kind} ${ref.name} in namespace ${pipeline.namespace}`,
    );
    sections.push(`Unresolved refs:\n${refs.join('\n')}`);
  }
  if (pipeline.offsets.length > 0) {
    const rows = pipeline.offsets.map((lane) => [
      lane.source,
      lane.partition,
      lane.epoch,
      lane.position ?? '-',
      lane.lagRecords ?? '-',
    ]);
    sections.push(
      `Lanes:\n${indent(renderTable(['SOURCE', 'PARTITION', 'EPOCH', 'POSITION', 'LAG'], rows))}`,
    );
  }
  return { summary: sections.join('\n\n').trimEnd(), result: pipeline };
}

function renderStages(pipeline: PipelineDetail): string {
  const counters = new Map(pipeline.rates?.stages.map((row) => [row.stage, row]));
  const rows = pipeline.stages.map((stage) => {
    const row = counters.get(stage.name);
    return [
      stage.name,
      stage.kind,
      stage.ref,
      stage.resolved ? (stage.connector ?? '-') : 'unresolved',
      row?.recordsIn ?? '-',
      row?.recordsOut ?? '-',
      row?.filtered ?? '-',
      row?.failed ?? '-',
      row?.deadLettered ?? '-',
      row?.lastError ?? '',
    ];
  });
  return renderTable(
    ['NAME', 'KIND', 'REF', 'TYPE', 'IN', 'OUT', 'FILTERED', 'FAILED', 'DEAD', 'LAST ERROR'],
    rows,
  );
}

function renderFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(...fields.map(([label]) => label.length)) + 1;
  return fields
    .map(([label, value]) => `${`${label}:`.padEnd(width)} ${printableLine(value)}`)
    .join('\n');
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}
