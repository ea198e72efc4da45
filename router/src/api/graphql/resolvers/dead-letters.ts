// Resolvers of dead letters.

import { EtlError } from '@etl-router/core';
import type { DeadLetterFilter, DeadLetterView } from '../../../server/dead-letters.ts';
import { toPipelineName } from './answers.ts';
import type { RouterContext } from './context.ts';

interface FilterInput {
  readonly ids?: readonly string[] | null;
  readonly stage?: string | null;
  readonly code?: string | null;
}

interface ListArguments {
  readonly pipelineId: string;
  readonly filter?: FilterInput | null;
  readonly first: number;
  readonly after?: string | null;
}

interface ActionArguments {
  readonly pipelineId: string;
  readonly filter?: FilterInput | null;
  readonly dryRun: boolean;
}

/** Payload bytes that an answer shows. */
const shownMax = 64 * 1024;

/** `deadLetters`, `deadLetter`, and the mutations that send them again or give them up. */
export function deadLetterResolvers({ router }: RouterContext): object {
  const existing = (pipelineId: string): string => {
    const name = toPipelineName(pipelineId);
    const id = `${name.namespace}/${name.name}`;
    if (router.objects.get({ kind: 'EtlPipeline', ...name }) !== undefined) return id;
    throw new EtlError('ETL_NOT_FOUND', `there is no pipeline ${id}`);
  };
  return {
    Query: {
      deadLetters: async (_: unknown, { pipelineId, filter, first, after }: ListArguments) => {
        const page = await router.deadLetters.list({
          pipelineId: existing(pipelineId),
          filter: toFilter(filter),
          first,
          ...(after === null || after === undefined ? {} : { after: toCursor(after) }),
        });
        const { items, total, next } = page;
        return {
          items: items.map(toDeadLetter),
          total,
          endCursor: next === undefined ? null : String(next),
          hasNextPage: next !== undefined,
        };
      },
      deadLetter: async (_: unknown, { pipelineId, id }: { pipelineId: string; id: string }) =>
        toDeadLetter(await router.deadLetters.get(existing(pipelineId), id)),
    },
    Mutation: {
      redriveDeadLetters: async (_: unknown, { pipelineId, filter, dryRun }: ActionArguments) => ({
        count: await router.deadLetters.redrive(existing(pipelineId), toFilter(filter), dryRun),
        dryRun,
      }),
      discardDeadLetters: async (_: unknown, { pipelineId, filter, dryRun }: ActionArguments) => ({
        count: await router.deadLetters.discard(existing(pipelineId), toFilter(filter), dryRun),
        dryRun,
      }),
    },
  };
}

function toFilter(input: FilterInput | null | undefined): DeadLetterFilter {
  const { ids, stage, code } = input ?? {};
  return {
    ...(ids === undefined || ids === null ? {} : { ids }),
    ...(stage === undefined || stage === null ? {} : { stage }),
    ...(code === undefined || code === null ? {} : { code }),
  };
}

function toCursor(text: string): number {
  const cursor = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(cursor)) return cursor;
  throw new EtlError('ETL_INVALID_ARGUMENT', 'after: is no endCursor of an earlier page');
}

function toDeadLetter(view: DeadLetterView): object {
  const { record } = view;
  const payload = Buffer.from(
    record.payload.buffer,
    record.payload.byteOffset,
    record.payload.length,
  );
  return {
    id: view.id,
    stage: view.stage,
    source: view.source,
    partition: view.partition,
    code: view.code,
    message: view.message,
    attempts: view.attempts,
    firstFailure: view.firstFailureMs,
    lastFailure: view.lastFailureMs,
    contentType: record.contentType,
    headers: Array.from(record.headers, ([key, value]) => ({ key, value })),
    payload: payload.subarray(0, shownMax).toString('base64'),
    payloadText: toText(payload.subarray(0, shownMax)),
    payloadBytes: payload.length,
    redriving: view.redriving,
  };
}

function toText(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}
