// Resolvers of objects: what people apply.

import { EtlError, isEtlError } from '@etl-router/core';
import {
  type Finding,
  isErrorFinding,
  type ObjectKind,
  parseManifests,
} from '@etl-router/pipeline';
import type { GraphQLResolveInfo } from 'graphql';
import type { RouterObject } from '../../../server/object-view.ts';
import { findingsError } from '../../../server/objects.ts';
import type { ProposeOptions } from '../../../server/proposer.ts';
import { answer, staysError } from './answers.ts';
import type { RouterContext } from './context.ts';
import { type Call, proposal } from './request.ts';

interface ObjectArguments {
  readonly kind: ObjectKind;
  readonly namespace: string;
  readonly name: string;
}

interface ApplyObjectInput {
  readonly manifest: string;
  readonly expectedVersion?: string | null;
  readonly dryRun: boolean;
  readonly requestId?: string | null;
}

const objectsMax = 10_000;

/** `objects`, `object`, `applyObject` and `deleteObject`. */
export function objectResolvers(context: RouterContext): object {
  const { router } = context;
  return {
    Query: {
      objects: (
        _: unknown,
        { kind, namespace }: { kind?: ObjectKind | null; namespace?: string | null },
      ) => {
        const found = router.objects.list({
          kind: kind ?? undefined,
          namespace: namespace ?? undefined,
        });
        if (found.length > objectsMax) {
          throw new EtlError(
            'ETL_LIMIT_EXCEEDED',
            `${found.length} objects match; name a kind and a namespace`,
          );
        }
        const countUses = usesOf(context);
        return found.map((object) => toObject(context, object, countUses));
      },
      object: (_: unknown, name: ObjectArguments) => {
        const object = router.objects.get(name);
        return object === undefined ? null : toObject(context, object);
      },
    },
    Mutation: {
      applyObject: (
        _: unknown,
        { input }: { input: ApplyObjectInput },
        call: Call,
        info: GraphQLResolveInfo,
      ) => applyObject(context, input, () => proposal(call, info)),
      deleteObject: (_: unknown, name: ObjectArguments, call: Call, info: GraphQLResolveInfo) =>
        answer(async () => {
          await router.objects.delete(name, proposal(call, info));
          return `${name.kind} ${name.namespace}/${name.name} deleted`;
        }),
    },
  };
}

interface ApplyAnswer {
  readonly success: boolean;
  readonly message: string | null;
  readonly code: string | null;
  readonly outcome: string | null;
  readonly object: object | null;
  readonly findings: readonly Finding[];
}

/** Applies one manifest; used by `createPipeline` too. */
export async function applyObject(
  context: RouterContext,
  input: ApplyObjectInput,
  proposed: () => ProposeOptions,
): Promise<ApplyAnswer> {
  const { manifests, findings } = parseManifests(input.manifest);
  const [manifest] = manifests;
  if (manifest === undefined || manifests.length > 1 || findings.some(isErrorFinding)) {
    const error = findings.some(isErrorFinding)
      ? findingsError(findings)
      : new EtlError('ETL_INVALID_ARGUMENT', `manifest: needs one object, not ${manifests.length}`);
    return refused(error, findings);
  }
  try {
    const outcome = await context.router.objects.apply(manifest, {
      ...proposed(),
      dryRun: input.dryRun,
      expectedVersion: toVersion(input.expectedVersion),
      ...(input.requestId && { request: { requestId: input.requestId } }),
    });
    if (outcome.outcome === undefined)
      return refused(outcome.error ?? findingsError(outcome.findings), outcome.findings);
    return {
      success: true,
      message: null,
      code: null,
      outcome: outcome.outcome,
      object: outcome.object === undefined ? null : toObject(context, outcome.object),
      findings: outcome.findings,
    };
  } catch (error) {
    if (!isEtlError(error) || staysError.has(error.code)) throw error;
    return refused(error, findings);
  }
}

function refused(error: EtlError, findings: readonly Finding[]): ApplyAnswer {
  return {
    success: false,
    message: error.message,
    code: error.code,
    outcome: null,
    object: null,
    findings,
  };
}

function toVersion(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined) return undefined;
  const version = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(version)) return version;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    'expectedVersion: needs the resourceVersion of the object',
  );
}

/** What costs something is made when it is asked for. */
function toObject(
  context: RouterContext,
  object: RouterObject,
  countUses: CountUses = usesOf(context),
): object {
  const { kind, metadata } = object.manifest;
  return {
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    uid: object.uid,
    resourceVersion: String(object.resourceVersion),
    generation: object.generation,
    createdAt: object.createdAtMs,
    manifest: () => toApplied(object),
    status: () => statusOf(context, object, countUses),
  };
}

/** The manifest with what the router knows of the object, as kubectl shows it. */
function toApplied(object: RouterObject): object {
  const { apiVersion, kind, metadata, spec } = object.manifest;
  const { name, namespace, labels, annotations } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace,
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      uid: object.uid,
      resourceVersion: String(object.resourceVersion),
      generation: object.generation,
      creationTimestamp: new Date(object.createdAtMs).toISOString(),
    },
    spec,
  };
}

function statusOf({ router }: RouterContext, object: RouterObject, countUses: CountUses): object {
  const { kind, metadata } = object.manifest;
  if (kind !== 'EtlPipeline') return { pipelines: countUses(object) };
  const view = router.pipelines.get(`${metadata.namespace}/${metadata.name}`);
  return view === undefined ? {} : { phase: view.phase, message: view.message };
}

/** How many pipelines have a stage that refers to an object. */
type CountUses = (object: RouterObject) => number;

/** Reads the pipelines of a namespace once, for however many of its objects it is asked. */
function usesOf({ router }: RouterContext): CountUses {
  const namespaces = new Map<string, ReadonlyMap<string, number>>();
  const count = (namespace: string): ReadonlyMap<string, number> => {
    const uses = new Map<string, number>();
    for (const { manifest } of router.objects.list({ kind: 'EtlPipeline', namespace })) {
      const stages = router.objects.normalize(manifest).pipeline?.stages ?? [];
      const used = new Set(
        stages.map(({ kind, ref }) => `Etl${kind.charAt(0).toUpperCase()}${kind.slice(1)}/${ref}`),
      );
      for (const each of used) uses.set(each, (uses.get(each) ?? 0) + 1);
    }
    return uses;
  };
  return ({ manifest: { kind, metadata } }) => {
    const uses = namespaces.get(metadata.namespace) ?? count(metadata.namespace);
    namespaces.set(metadata.namespace, uses);
    return uses.get(`${kind}/${metadata.name}`) ?? 0;
  };
}
