// RouterAdmin over the router: objects, pipelines and metrics. The cluster and dead letters have files of their own.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import { type ObjectKind, objectKinds } from '@etl-router/pipeline';
import {
  type ApplyObjectRequest,
  type ApplyObjectResponseSchema,
  type ListObjectsRequest,
  type ListObjectsResponseSchema,
  type MetricSampleSchema,
  type ObjectName as NameMessage,
  type PipelineName,
  type PipelineViewSchema,
  type RouterAdmin,
} from '@etl-router/proto/admin';
import type { CallContext, Implementation } from '@etl-router/proto/grpc';
import type { ObjectName } from '../../server/object-view.ts';
import { findingsError } from '../../server/objects.ts';
import type { PipelineView } from '../../server/pipelines.ts';
import { invalid } from '../../state/names.ts';
import { fromFinding, fromObject, fromPipeline } from './admin-messages.ts';
import { createClusterMethods } from './cluster-methods.ts';
import type { GrpcContext } from './context.ts';
import { createDeadLetterMethods } from './dead-letter-methods.ts';
import { atMost, optional, optionalCount, proposal, required } from './fields.ts';
import { pageOf } from './pages.ts';
import { toManifest, toPipelineManifest } from './pipeline-manifest.ts';
import { beforeRead } from './reads.ts';

const pageBounds = { defaultSize: 100, maxSize: 1000 };
const labelsMax = 16;
const metricNamesMax = 1000;
const metricSamplesMax = 10_000;

type Admin = Implementation<typeof RouterAdmin>;
type PipelineMessage = MessageInitShape<typeof PipelineViewSchema>;

/** The handlers of etl.router.v1.RouterAdmin. */
export function createRouterAdminService(context: GrpcContext): Admin {
  return {
    ...objectMethods(context),
    ...pipelineMethods(context),
    ...pipelineStateMethods(context),
    ...createClusterMethods(context),
    ...metricMethods(context),
    ...createDeadLetterMethods(context),
  };
}

function objectMethods(
  context: GrpcContext,
): Pick<Admin, 'applyObject' | 'getObject' | 'listObjects' | 'deleteObject'> {
  const { router } = context;
  return {
    applyObject: (request, { signal }) => applyObject(context, request, signal),
    getObject: async (request, call) => {
      const name = toObjectName(request.name);
      await beforeRead(context, call);
      const object = router.objects.get(name);
      if (object !== undefined) return { object: fromObject(object, viewOf(context, name)) };
      throw missing(name);
    },
    listObjects: (request, call) => listObjects(context, request, call),
    deleteObject: async (request, { signal }) => {
      return router.objects.delete(toObjectName(request.name), {
        ...proposal(request.requestId, signal),
        expectedVersion: optionalCount('expected_version', request.expectedVersion),
      });
    },
  };
}

async function applyObject(
  context: GrpcContext,
  request: ApplyObjectRequest,
  signal: AbortSignal,
): Promise<MessageInitShape<typeof ApplyObjectResponseSchema>> {
  const manifest = toManifest(request.manifest, request.defaultNamespace);
  const { outcome, object, findings, error } = await context.router.objects.apply(manifest, {
    ...proposal(request.requestId, signal),
    expectedVersion: optionalCount('expected_version', request.expectedVersion),
    dryRun: request.validateOnly,
  });
  if (error !== undefined) throw error;
  if (outcome === undefined && !request.validateOnly) throw findingsError(findings);
  return {
    ...(object && { object: fromObject(object, viewOf(context, object.manifest)) }),
    created: outcome === 'created',
    changed: outcome === 'created' || outcome === 'configured',
    findings: findings.map(fromFinding),
  };
}

async function listObjects(
  context: GrpcContext,
  request: ListObjectsRequest,
  call: CallContext,
): Promise<MessageInitShape<typeof ListObjectsResponseSchema>> {
  const { router } = context;
  atMost('labels', Object.keys(request.labels).length, labelsMax);
  const kind = request.kind === '' ? undefined : toKind('kind', request.kind);
  await beforeRead(context, call);
  const found = router.objects
    .list({ kind, namespace: optional(request.namespace) })
    .filter(({ manifest }) =>
      Object.entries(request.labels).every(
        ([label, value]) => manifest.metadata.labels[label] === value,
      ),
    );
  const page = pageOf(
    found,
    ({ manifest }) => [manifest.kind, manifest.metadata.namespace, manifest.metadata.name],
    request,
    pageBounds,
  );
  return {
    objects: page.items.map((object) => fromObject(object, viewOf(context, object.manifest))),
    nextPageToken: page.nextPageToken,
  };
}

function pipelineMethods(
  context: GrpcContext,
): Pick<
  Admin,
  'createPipeline' | 'updatePipeline' | 'deletePipeline' | 'getPipeline' | 'listPipelines'
> {
  const { router } = context;
  return {
    createPipeline: async (request, { signal }) => {
      const manifest = toPipelineManifest(request.manifest, request.name);
      const options = { ...proposal(request.requestId, signal), expectedVersion: 0 };
      const { outcome, findings } = await router.objects.apply(manifest, options);
      if (outcome === undefined) throw findingsError(findings);
      return { pipeline: await shown(context, manifest.metadata) };
    },
    updatePipeline: async (request, { signal }) => {
      const manifest = toPipelineManifest(request.manifest, request.name);
      await router.barrier(signal);
      existing(context, manifest.metadata);
      const { outcome, findings } = await router.objects.apply(manifest, {
        ...proposal(request.requestId, signal),
        expectedVersion: optionalCount('expected_version', request.expectedVersion),
      });
      if (outcome === undefined) throw findingsError(findings);
      const pipeline = await shown(context, manifest.metadata);
      return { pipeline, changed: outcome !== 'unchanged' };
    },
    deletePipeline: async (request, { signal }) => {
      const name = toPipelineName(request.name);
      await router.barrier(signal);
      const { object } = existing(context, name);
      if (!request.force && stateOf(object.manifest.spec) === 'running') {
        throw new EtlError(
          'ETL_CONFLICT',
          `pipeline ${name.namespace}/${name.name} is running; disable it first, or delete it with force`,
        );
      }
      return router.objects.delete(
        { kind: 'EtlPipeline', ...name },
        {
          ...proposal(request.requestId, signal),
          expectedVersion: optionalCount('expected_version', request.expectedVersion),
        },
      );
    },
    getPipeline: async (request, call) => {
      const name = toPipelineName(request.name);
      await beforeRead(context, call);
      return { pipeline: await shown(context, name) };
    },
    listPipelines: async (request, call) => {
      await beforeRead(context, call);
      const found = router.pipelines
        .list(optional(request.namespace))
        .filter(
          ({ object }) => request.includeDisabled || stateOf(object.manifest.spec) === 'running',
        );
      const page = pageOf(
        found,
        ({ object: { manifest } }) => [manifest.metadata.namespace, manifest.metadata.name],
        request,
        pageBounds,
      );
      const pipelines = await Promise.all(page.items.map((view) => shownView(context, view)));
      return { pipelines, nextPageToken: page.nextPageToken };
    },
  };
}

function pipelineStateMethods(
  context: GrpcContext,
): Pick<Admin, 'enablePipeline' | 'disablePipeline'> {
  const { router } = context;
  return {
    enablePipeline: async (request, { signal }) => {
      const name = toPipelineName(request.name);
      await router.objects.setPipelineState(name, 'running', proposal(request.requestId, signal));
      return { pipeline: await shown(context, name) };
    },
    disablePipeline: async (request, { signal }) => {
      const name = toPipelineName(request.name);
      const state = request.stop ? 'stopped' : 'paused';
      await router.objects.setPipelineState(name, state, proposal(request.requestId, signal));
      const { live } = existing(context, name);
      const pendingRecords = BigInt(live?.report.inFlightRecords ?? 0);
      return { pipeline: await shown(context, name), pendingRecords };
    },
  };
}

function metricMethods(context: GrpcContext): Pick<Admin, 'getMetrics'> {
  return {
    getMetrics: async ({ names }) => {
      atMost('names', names.length, metricNamesMax);
      return { samples: await samplesOf(context, new Set(names)) };
    },
  };
}

async function samplesOf(
  { metrics }: GrpcContext,
  names: ReadonlySet<string>,
): Promise<MessageInitShape<typeof MetricSampleSchema>[]> {
  const samples: MessageInitShape<typeof MetricSampleSchema>[] = [];
  for (const metric of await metrics.getMetricsAsJSON()) {
    for (const sample of metric.values) {
      const { metricName } = sample as { readonly metricName?: string };
      const name = metricName ?? metric.name;
      if (names.size > 0 && !names.has(name) && !names.has(metric.name)) continue;
      const labels = Object.fromEntries(
        Object.entries(sample.labels).map(([label, value]) => [label, String(value)]),
      );
      samples.push({ name, labels, value: sample.value });
    }
  }
  if (samples.length <= metricSamplesMax) {
    return samples.sort((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1));
  }
  throw new EtlError(
    'ETL_LIMIT_EXCEEDED',
    `${samples.length} samples match, at most ${metricSamplesMax} are given; name metrics in names`,
  );
}

function toKind(field: string, kind: string): ObjectKind {
  if (objectKinds.includes(kind as ObjectKind)) return kind as ObjectKind;
  throw invalid(field, `${JSON.stringify(kind)} is not one of ${objectKinds.join(', ')}`);
}

function toObjectName(message: NameMessage | undefined): ObjectName {
  const { kind, namespace, name } = required('name', message);
  return {
    kind: toKind('name.kind', required('name.kind', kind)),
    namespace: namespace || 'default',
    name: required('name.name', name),
  };
}

function toPipelineName(message: PipelineName | undefined): {
  readonly namespace: string;
  readonly name: string;
} {
  const { namespace, name } = required('name', message);
  return { namespace: namespace || 'default', name: required('name.name', name) };
}

function stateOf(spec: { readonly [field: string]: unknown }): string {
  const { state } = spec as { readonly state?: string };
  return state ?? 'running';
}

/** What is known of the pipeline that an object is; undefined for objects that are none. */
function viewOf(
  { router }: GrpcContext,
  object: ObjectName | { readonly kind: ObjectKind; readonly metadata: Omit<ObjectName, 'kind'> },
): PipelineView | undefined {
  if (object.kind !== 'EtlPipeline') return undefined;
  const { namespace, name } = 'metadata' in object ? object.metadata : object;
  return router.pipelines.get(`${namespace}/${name}`);
}

function existing({ router }: GrpcContext, name: Omit<ObjectName, 'kind'>): PipelineView {
  const view = router.pipelines.get(`${name.namespace}/${name.name}`);
  if (view !== undefined) return view;
  throw missing({ kind: 'EtlPipeline', ...name });
}

function missing({ kind, namespace, name }: ObjectName): EtlError {
  return new EtlError('ETL_NOT_FOUND', `there is no ${kind} ${namespace}/${name}`, {
    details: { kind, namespace, name },
  });
}

function shown(context: GrpcContext, name: Omit<ObjectName, 'kind'>): Promise<PipelineMessage> {
  return shownView(context, existing(context, name));
}

async function shownView(context: GrpcContext, view: PipelineView): Promise<PipelineMessage> {
  return fromPipeline(view, await context.router.deadLetters.count(view.pipelineId));
}
