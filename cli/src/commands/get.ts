// `etlctl get`: lists and shows as kubectl does, objects in JSON and YAML exactly as stored.

import { EtlError } from '@etl-router/core';
import { RouterClient } from '../client.ts';
import { type CommandResult, type GlobalOptions, type Io, printableLine } from '../io.ts';
import {
  outputs,
  parseOutput,
  renderAge,
  renderJson,
  renderRate,
  renderTable,
  renderYaml,
} from '../output.ts';
import { kindOf, parseTarget, type Resource, singular } from '../resources.ts';

export interface GetRequest {
  readonly resource: string;
  readonly name: string | undefined;
  readonly allNamespaces: boolean;
  readonly globals: GlobalOptions;
  readonly io: Io;
}

interface StoredObject {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly createdAt: string;
  readonly generation: number;
  readonly manifest: { readonly spec: { readonly [key: string]: unknown } };
  readonly status: { readonly pipelines?: number };
}

interface PipelineRow {
  readonly name: string;
  readonly namespace: string;
  readonly phase: string;
  readonly message: string | null;
  readonly version: number;
  readonly guarantee: { readonly delivery: string };
  readonly unresolvedRefs: readonly unknown[];
  readonly stages: readonly unknown[];
  readonly rates: {
    readonly recordsInPerSecond: number;
    readonly lagRecords: string | null;
    readonly watermark: string | null;
  } | null;
  readonly deadLetters: number;
}

interface ServiceRow {
  readonly serviceId: string;
  readonly serviceName: string;
  readonly serviceType: string;
  readonly endpoint: string;
  readonly health: string;
  readonly registeredAt: string;
  readonly lastHeartbeat: string;
}

const objectFields = 'kind namespace name createdAt generation manifest status';

const objectsDocument = `query ($kind: ObjectKind, $namespace: String) {
  objects(kind: $kind, namespace: $namespace) { ${objectFields} }
}`;

const objectDocument = `query ($kind: ObjectKind!, $namespace: String!, $name: String!) {
  object(kind: $kind, namespace: $namespace, name: $name) { ${objectFields} }
}`;

const pipelinesDocument = `query ($namespace: String) {
  pipelines(namespace: $namespace) {
    name namespace phase message version guarantee { delivery } unresolvedRefs { name } stages { name }
    rates { recordsInPerSecond lagRecords watermark } deadLetters
  }
}`;

const servicesDocument =
  'query { services { serviceId serviceName serviceType endpoint health registeredAt lastHeartbeat } }';

/** Prints a list or one object. Throws ETL_NOT_FOUND for a name that is not there. */
export async function get(request: GetRequest): Promise<CommandResult> {
  const { resource, name } = parseTarget(request.resource, request.name);
  const output = parseOutput(request.globals.output, outputs);
  const client = new RouterClient(request.globals, request.io);
  if (resource === 'services') await getServices(client, name, output, request.io);
  else await getObjects(client, { resource, name, output, request });
  return { summary: '' };
}

interface Selection {
  readonly resource: Exclude<Resource, 'services'>;
  readonly name: string | undefined;
  readonly output: string;
  readonly request: GetRequest;
}

async function getObjects(client: RouterClient, selection: Selection): Promise<void> {
  const { resource, name, output, request } = selection;
  const { io } = request;
  const namespace = request.allNamespaces ? undefined : request.globals.defaultNamespace;
  const objects = await readObjects(client, { kind: kindOf[resource] as string, namespace, name });
  if (name !== undefined && objects.length === 0) throw notFound(resource, name, namespace);
  if (output === 'json' || output === 'yaml') {
    const items = objects.map((object) => ({ ...object.manifest, status: object.status }));
    const value = oneOrList(name, items);
    io.out(output === 'json' ? renderJson(value) : await renderYaml(value));
  } else if (output === 'name') {
    io.out(
      objects.map((object) => `${singular(resource)}/${printableLine(object.name)}\n`).join(''),
    );
  } else if (objects.length === 0) {
    io.err(
      namespace === undefined
        ? `No ${resource} found.\n`
        : `No ${resource} found in namespace ${namespace}; -A lists all namespaces.\n`,
    );
  } else {
    const shown = new Set(objects.map((object) => `${object.namespace}/${object.name}`));
    const ages = new Map(
      objects.map((object) => [`${object.namespace}/${object.name}`, object.createdAt]),
    );
    if (resource === 'pipelines') {
      const { pipelines } = await client.query<{ pipelines: PipelineRow[] }>(
        pipelinesDocument,
        namespace === undefined ? {} : { namespace },
      );
      const rows = pipelines.filter((row) => shown.has(`${row.namespace}/${row.name}`));
      io.out(renderPipelines(rows, ages, output === 'wide', request));
    } else {
      io.out(renderConnectors(objects, request));
    }
  }
}

/** All of the namespace or of every one, or those of a name. */
async function readObjects(
  client: RouterClient,
  wanted: {
    readonly kind: string;
    readonly namespace: string | undefined;
    readonly name: string | undefined;
  },
): Promise<readonly StoredObject[]> {
  const { kind, namespace, name } = wanted;
  if (name !== undefined && namespace !== undefined) {
    const found = await client.query<{ object: StoredObject | null }>(objectDocument, wanted);
    return found.object === null ? [] : [found.object];
  }
  const { objects } = await client.query<{ objects: StoredObject[] }>(objectsDocument, {
    kind,
    ...(namespace === undefined ? {} : { namespace }),
  });
  return name === undefined ? objects : objects.filter((object) => object.name === name);
}

/** The one thing that was named, or a List; a name may be there in several namespaces, or for several services. */
function oneOrList(name: string | undefined, items: readonly object[]): object | undefined {
  if (name !== undefined && items.length === 1) return items[0];
  return { apiVersion: 'v1', kind: 'List', items, metadata: {} };
}

function renderPipelines(
  rows: readonly PipelineRow[],
  ages: ReadonlyMap<string, string>,
  wide: boolean,
  request: GetRequest,
): string {
  const space = request.allNamespaces;
  const header = ['NAME', 'READY', 'PHASE', 'RATE', 'LAG', 'GUARANTEE', 'DLQ', 'AGE'];
  const cells = rows.map((row) => [
    ...(space ? [row.namespace] : []),
    row.name,
    row.unresolvedRefs.length === 0 && !['failed', 'degraded', 'pending'].includes(row.phase)
      ? 'True'
      : 'False',
    row.phase,
    row.rates === null ? '-' : renderRate(row.rates.recordsInPerSecond),
    row.rates?.lagRecords ?? '-',
    row.guarantee.delivery,
    String(row.deadLetters),
    renderAge(ages.get(`${row.namespace}/${row.name}`) ?? '', request.io.clock),
    ...(wide
      ? [
          String(row.stages.length),
          row.rates?.watermark ?? '-',
          String(row.version),
          row.message ?? '',
        ]
      : []),
  ]);
  return renderTable(
    [
      ...(space ? ['NAMESPACE'] : []),
      ...header,
      ...(wide ? ['STAGES', 'WATERMARK', 'VERSION', 'MESSAGE'] : []),
    ],
    cells,
  );
}

function renderConnectors(objects: readonly StoredObject[], request: GetRequest): string {
  const space = request.allNamespaces;
  return renderTable(
    [...(space ? ['NAMESPACE'] : []), 'NAME', 'TYPE', 'PIPELINES', 'AGE'],
    objects.map((object) => [
      ...(space ? [object.namespace] : []),
      object.name,
      typeOf(object),
      String(object.status.pipelines ?? '-'),
      renderAge(object.createdAt, request.io.clock),
    ]),
  );
}

/** The connector's key; what else a spec may have is for people and clusters. */
function typeOf({ manifest }: StoredObject): string {
  const others = ['description', 'clusterRef'];
  return Object.keys(manifest.spec).find((key) => !others.includes(key)) ?? '-';
}

async function getServices(
  client: RouterClient,
  name: string | undefined,
  output: string,
  io: Io,
): Promise<void> {
  const { services } = await client.query<{ services: ServiceRow[] }>(servicesDocument);
  const found =
    name === undefined
      ? services
      : services.filter((row) => row.serviceId === name || row.serviceName === name);
  if (name !== undefined && found.length === 0) throw notFound('services', name, undefined);
  if (output === 'json' || output === 'yaml') {
    const value = oneOrList(name, found);
    io.out(output === 'json' ? renderJson(value) : await renderYaml(value));
  } else if (output === 'name') {
    io.out(found.map((row) => `service/${printableLine(row.serviceId)}\n`).join(''));
  } else if (found.length === 0) {
    io.err('No services are registered.\n');
  } else {
    io.out(
      renderTable(
        ['NAME', 'ID', 'TYPE', 'ENDPOINT', 'HEALTH', 'LAST-SEEN', 'AGE'],
        found.map((row) => [
          row.serviceName,
          row.serviceId,
          row.serviceType.toLowerCase(),
          row.endpoint,
          row.health.toLowerCase(),
          renderAge(row.lastHeartbeat, io.clock),
          renderAge(row.registeredAt, io.clock),
        ]),
      ),
    );
  }
}

/** The error for a name that the router does not have. */
export function notFound(
  resource: Resource,
  name: string,
  namespace: string | undefined,
): EtlError {
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  return new EtlError(
    'ETL_NOT_FOUND',
    `${singular(resource)} ${JSON.stringify(name)} not found${where}`,
  );
}
