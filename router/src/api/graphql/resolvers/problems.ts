// Resolvers of operational errors: what went wrong lately on this node.

import { EtlError } from '@etl-router/core';
import type { Problem, ProblemKind } from '../../../server/problems.ts';
import { answer } from './answers.ts';
import type { RouterContext } from './context.ts';

interface Filter {
  readonly errorType?: string | null;
  readonly pipelineId?: string | null;
  readonly resolved?: boolean | null;
  readonly limit?: number | null;
  readonly offset?: number | null;
}

const types: { readonly [kind in ProblemKind]: string } = {
  pipelineFailure: 'PIPELINE_FAILURE',
  transformError: 'TRANSFORM_ERROR',
  sinkError: 'SINK_ERROR',
  sourceError: 'SOURCE_ERROR',
  deadLetter: 'DLQ_RECORD',
  serviceUnhealthy: 'SERVICE_UNHEALTHY',
  timeout: 'TIMEOUT',
  validationError: 'VALIDATION_ERROR',
  unknown: 'UNKNOWN',
};

const hourMs = 3_600_000;

/** `operationalErrors`, `operationalError`, `errorStats` and their mutations. */
export function problemResolvers({ router, clock }: RouterContext): object {
  return {
    Query: {
      operationalErrors: (_: unknown, { filter }: { filter?: Filter | null }) => {
        const { errorType, pipelineId, resolved, limit, offset } = filter ?? {};
        const from = bounded('offset', offset ?? 0, 0);
        return router.problems
          .list()
          .filter(
            (problem) =>
              errorType === undefined || errorType === null || types[problem.kind] === errorType,
          )
          .filter(
            (problem) =>
              pipelineId === undefined || pipelineId === null || problem.pipelineId === pipelineId,
          )
          .filter(
            (problem) =>
              resolved === undefined || resolved === null || problem.resolved === resolved,
          )
          .slice(from, from + bounded('limit', limit ?? 50, 1))
          .map(toError);
      },
      operationalError: (_: unknown, { id }: { id: string }) => {
        const problem = router.problems.get(id);
        return problem === undefined ? null : toError(problem);
      },
      errorStats: () => {
        const problems = router.problems.list();
        const counts = new Map<string, number>();
        for (const { kind } of problems)
          counts.set(types[kind], (counts.get(types[kind]) ?? 0) + 1);
        const nowMs = clock.wallMs();
        return {
          totalErrors: problems.length,
          unresolvedCount: problems.filter(({ resolved }) => !resolved).length,
          errorsByType: Array.from(counts, ([errorType, count]) => ({ errorType, count })),
          errorsLastHour: problems.filter(({ lastAtMs }) => nowMs - lastAtMs < hourMs).length,
        };
      },
    },
    Mutation: {
      resolveError: (_: unknown, { id }: { id: string }) =>
        answer(async () => {
          if (router.problems.resolve(id)) return undefined;
          throw new EtlError('ETL_NOT_FOUND', `there is no error ${JSON.stringify(id)}`);
        }),
      clearResolvedErrors: () => answer(async () => `${router.problems.clearResolved()} cleared`),
    },
  };
}

function bounded(name: string, value: number, min: number): number {
  if (value >= min && value <= 1000) return value;
  throw new EtlError('ETL_INVALID_ARGUMENT', `${name}: needs a number from ${min} to 1000`);
}

function toError(problem: Problem): object {
  return {
    id: problem.id,
    errorType: types[problem.kind],
    pipelineId: problem.pipelineId ?? null,
    serviceId: problem.serviceId ?? null,
    stageId: problem.stage ?? null,
    message: problem.message,
    details: problem.code,
    timestamp: problem.lastAtMs,
    retryCount: problem.count - 1,
    resolved: problem.resolved,
  };
}
