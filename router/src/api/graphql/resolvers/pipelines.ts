// Resolvers of pipelines: what they are, how they go, and the mutations that run and pause them.

import { EtlError, stringifyJsonText } from '@etl-router/core';
import {
  apiVersion,
  drawPipeline,
  type Edge,
  type GraphFormat,
  graphFormats,
  readYaml,
} from '@etl-router/pipeline';
import type { GraphQLResolveInfo } from 'graphql';
import type { LivePipeline } from '../../../server/live.ts';
import type { PipelineView } from '../../../server/pipelines.ts';
import type { ProposeOptions } from '../../../server/proposer.ts';
import { answer, fromPosition, toPipelineName } from './answers.ts';
import type { RouterContext } from './context.ts';
import { applyObject } from './objects.ts';
import { type Call, proposal } from './request.ts';

/** `pipelines`, `pipeline`, the fields of Pipeline, and their mutations. */
export function pipelineResolvers(context: RouterContext): object {
  const { router } = context;
  return {
    Query: {
      pipelines: (_: unknown, { namespace }: { namespace?: string | null }) =>
        router.pipelines.list(namespace ?? undefined),
      pipeline: (_: unknown, { pipelineId }: { pipelineId: string }) =>
        router.pipelines.get(idOf(pipelineId)) ?? null,
    },
    Mutation: pipelineMutations(context),
    Subscription: {
      pipelineRates: {
        subscribe: (_: unknown, { pipelineId }: { pipelineId: string }) => {
          const id = idOf(pipelineId);
          const leading = context.router.checkLeads('watch the rates');
          if (context.router.pipelines.get(id) === undefined)
            throw new EtlError('ETL_NOT_FOUND', `there is no pipeline ${id}`);
          return rates(context, id, leading);
        },
      },
    },
    Pipeline: pipelineFields(context),
  };
}

function idOf(pipelineId: string): string {
  const { namespace, name } = toPipelineName(pipelineId);
  return `${namespace}/${name}`;
}

function pipelineFields({ router }: RouterContext): object {
  return {
    name: ({ object }: PipelineView) => object.manifest.metadata.name,
    namespace: ({ object }: PipelineView) => object.manifest.metadata.namespace,
    enabled: ({ object }: PipelineView) => stateOf(object.manifest.spec) === 'running',
    version: ({ object }: PipelineView) => object.generation,
    state: ({ object }: PipelineView) => stateOf(object.manifest.spec),
    message: ({ message }: PipelineView) => (message === '' ? null : message),
    guarantee: ({ guarantee, pipeline }: PipelineView) => ({
      delivery: guarantee?.delivery ?? 'unknown',
      required: pipeline?.delivery.require ?? 'unknown',
      weakestLink: guarantee?.weakestLink?.stage ?? null,
      reason: guarantee?.weakestLink?.why ?? null,
    }),
    unresolvedRefs: ({ unresolved }: PipelineView) => unresolved,
    stages: ({ pipeline }: PipelineView) =>
      (pipeline?.stages ?? []).map(({ name, kind, ref, connector }) => ({
        name,
        kind,
        ref,
        connector: connector?.type ?? null,
        resolved: connector !== undefined,
      })),
    edges: ({ pipeline }: PipelineView) => (pipeline?.edges ?? []).map(toEdge),
    graph: ({ pipeline }: PipelineView, { format }: { format: string }) => {
      if (!graphFormats.includes(format as GraphFormat)) {
        throw new EtlError(
          'ETL_INVALID_ARGUMENT',
          `format: needs one of ${graphFormats.join(', ')}`,
        );
      }
      return pipeline === undefined ? '' : drawPipeline(pipeline, format as GraphFormat);
    },
    rates: ({ live }: PipelineView) => (live === undefined ? null : toRates(live)),
    offsets: ({ pipelineId }: PipelineView) =>
      router.positions.list(pipelineId).map(({ lane, epoch, position, lagRecords, lagBytes }) => ({
        source: lane.source,
        partition: lane.partition,
        epoch: BigInt(epoch),
        position: position === undefined ? null : fromPosition(position),
        lagRecords: toBigInt(lagRecords),
        lagBytes: toBigInt(lagBytes),
      })),
    deadLetters: ({ pipelineId }: PipelineView) => router.deadLetters.count(pipelineId),
  };
}

function stateOf(spec: { readonly [field: string]: unknown }): string {
  const { state } = spec as { readonly state?: string };
  return state ?? 'running';
}

function toEdge({ from, to, when, required, overflow }: Edge): object {
  const condition =
    when === undefined ? null : 'cel' in when ? when.cel : JSON.stringify(when.tree);
  return { from, to, when: condition, required, overflow: overflow.policy };
}

function pipelineMutations(context: RouterContext): object {
  const { router } = context;
  const setState =
    (state: 'running' | 'paused', done: string) =>
    (
      _: unknown,
      { pipelineId }: { pipelineId: string },
      call: Call,
      info: GraphQLResolveInfo,
    ): object =>
      answer(async () => {
        const name = toPipelineName(pipelineId);
        await router.objects.setPipelineState(name, state, proposal(call, info));
        return `pipeline ${name.namespace}/${name.name} ${done}`;
      });
  return {
    createPipeline: (
      _: unknown,
      { input }: { input: CreatePipelineInput },
      call: Call,
      info: GraphQLResolveInfo,
    ) => createPipeline(context, input, () => proposal(call, info)),
    enablePipeline: setState('running', 'enabled'),
    disablePipeline: setState('paused', 'disabled'),
    deletePipeline: (
      _: unknown,
      { pipelineId }: { pipelineId: string },
      call: Call,
      info: GraphQLResolveInfo,
    ) =>
      answer(async () => {
        const name = toPipelineName(pipelineId);
        await router.objects.delete({ kind: 'EtlPipeline', ...name }, proposal(call, info));
        return `pipeline ${name.namespace}/${name.name} deleted`;
      }),
  };
}

interface CreatePipelineInput {
  readonly pipelineId: string;
  readonly name: string;
  readonly config: string;
}

/** Takes a manifest, or a spec that gets its name from `pipelineId`. Refuses to replace a pipeline. */
async function createPipeline(
  context: RouterContext,
  input: CreatePipelineInput,
  proposed: () => ProposeOptions,
): Promise<object> {
  const name = toPipelineName(input.pipelineId);
  const manifest = toManifestText(input, name);
  if (manifest === undefined) {
    return {
      success: false,
      message:
        'config: needs an EtlPipeline manifest or its spec, in YAML or JSON, such as {"source": {"ref": "orders"}, "sink": {"ref": "warehouse"}}',
      code: 'ETL_INVALID_ARGUMENT',
    };
  }
  const wanted = { manifest, dryRun: false, expectedVersion: '0' };
  const applied = await applyObject(context, wanted, proposed);
  const where = `pipeline ${name.namespace}/${name.name}`;
  if (applied.code === 'ETL_CONFLICT') {
    const message = `${where} exists already; delete it first, or apply the change`;
    return { success: false, message, code: 'ETL_CONFLICT' };
  }
  const message = applied.success
    ? `${where} created`
    : `config: ${applied.message ?? 'is not valid'}`;
  return { success: applied.success, message, code: applied.code };
}

/** The manifest that `config` is, or holds the spec of; undefined when it is neither. */
function toManifestText(
  input: CreatePipelineInput,
  name: { readonly namespace: string; readonly name: string },
): string | undefined {
  const { documents, problems } = readYaml(input.config);
  const [document] = documents;
  if (problems.length > 0 || documents.length !== 1 || document === undefined) return undefined;
  const { value } = document;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if ('apiVersion' in value || 'kind' in value) return input.config;
  return stringifyJsonText({ apiVersion, kind: 'EtlPipeline', metadata: name, spec: value });
}

/** The subscription's events; ends when the client is gone, and with an error when this member ceases to lead. */
function rates(
  { router }: RouterContext,
  pipelineId: string,
  leading: AbortSignal,
): AsyncIterable<object> {
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, leading]);
  const source = router.live.subscribe(pipelineId, { signal });
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const step = await source.next();
        if (step.done === true && !stop.signal.aborted) throw leading.reason;
        return step.done === true
          ? { done: true, value: undefined }
          : { done: false, value: { pipelineRates: toRates(step.value) } };
      },
      return: async () => {
        stop.abort();
        return { done: true, value: undefined };
      },
    }),
  };
}

function toRates({ report, rates: stageRates, atMs }: LivePipeline): object {
  const perStage = new Map(stageRates.map((rate) => [rate.stage, rate]));
  const sources = report.stages.filter(({ name }) =>
    report.lanes.some(({ source }) => source === name),
  );
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return {
    pipelineId: report.pipelineId,
    at: atMs,
    recordsIn: BigInt(sum(sources.map(({ recordsOut }) => recordsOut))),
    recordsInPerSecond: sum(
      sources.map(({ name }) => perStage.get(name)?.recordsOutPerSecond ?? 0),
    ),
    inFlightRecords: BigInt(report.inFlightRecords),
    inFlightBytes: BigInt(report.inFlightBytes),
    lagRecords: toBigInt(report.lagRecords),
    watermark: report.watermarkMs ?? null,
    stages: report.stages.map((stage) => ({
      stage: stage.name,
      recordsIn: BigInt(stage.recordsIn),
      recordsOut: BigInt(stage.recordsOut),
      filtered: BigInt(stage.filtered),
      failed: BigInt(stage.failed),
      retried: BigInt(stage.retried),
      deadLettered: BigInt(stage.deadLettered),
      dropped: BigInt(stage.dropped),
      recordsOutPerSecond: perStage.get(stage.name)?.recordsOutPerSecond ?? 0,
      lastError: stage.fault === undefined ? null : `${stage.fault.code}: ${stage.fault.message}`,
    })),
  };
}

function toBigInt(value: number | undefined): bigint | null {
  return value === undefined ? null : BigInt(value);
}
