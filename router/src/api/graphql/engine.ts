// The GraphQL engine: schema, resolvers and graphql-yoga, with internal errors masked. It takes a third of a second of
// processor time to load, so handler.ts imports it when the first request comes.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isEtlError, type Logger, toEtlError } from '@etl-router/core';
import { GraphQLError } from 'graphql';
import { createSchema, createYoga, type YogaServerInstance } from 'graphql-yoga';
import { useLimits } from './limits.ts';
import type { RouterContext } from './resolvers/context.ts';
import { createResolvers } from './resolvers/index.ts';
import { dateTimeScalar, jsonScalar, uint64Scalar } from './scalars.ts';

export type GraphQlEngine = YogaServerInstance<object, object>;

/** The schema's text, for clients and tests. */
export const schemaText: string = readFileSync(
  new URL('./schema.graphql', import.meta.url),
  'utf8',
);

/** Builds the schema over one router. */
export function createEngine(context: RouterContext, logger: Logger): GraphQlEngine {
  return createYoga({
    schema: createSchema({
      typeDefs: schemaText,
      resolvers: {
        UInt64: uint64Scalar,
        JSON: jsonScalar,
        DateTime: dateTimeScalar,
        ...createResolvers(context),
      },
    }),
    cors: false,
    logging: false,
    multipart: false,
    batching: false,
    landingPage: false,
    plugins: [useLimits()],
    maskedErrors: { maskError: (error) => maskError(error, logger) },
  });
}

/** Errors of ours keep code and message; anything else becomes one line with an id that the log has too. */
export function maskError(error: unknown, logger: Logger): Error {
  const original = error instanceof GraphQLError ? (error.originalError ?? undefined) : error;
  if (error instanceof GraphQLError && original === undefined) return error;
  const located = error instanceof GraphQLError ? { nodes: error.nodes, path: error.path } : {};
  if (isEtlError(original) && original.code !== 'ETL_INTERNAL') {
    return new GraphQLError(original.message, {
      ...located,
      extensions: { code: original.code, retryable: original.retryable },
    });
  }
  const id = randomUUID();
  logger.error({ err: toEtlError(original), errorId: id }, 'a resolver failed');
  return new GraphQLError(`an internal error happened; the router's log has it under ${id}`, {
    ...located,
    extensions: { code: 'ETL_INTERNAL' },
  });
}
