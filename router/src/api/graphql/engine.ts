// The GraphQL engine: schema, resolvers and graphql-yoga, with internal errors masked. It takes a third of a second of
// processor time to load, so handler.ts imports it when the first request comes.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isEtlError, type Logger, toEtlError } from '@etl-router/core';
import { GraphQLError } from 'graphql';
import { createSchema, createYoga, type YogaServerInstance } from 'graphql-yoga';
import type { Gate } from '../access/gate.ts';
import { type Admitted, useAccess } from './access.ts';
import { useLimits } from './limits.ts';
import { useConsistency } from './reads.ts';
import type { RouterContext } from './resolvers/context.ts';
import { createResolvers } from './resolvers/index.ts';
import { dateTimeScalar, jsonScalar, uint64Scalar } from './scalars.ts';

export type GraphQlEngine = YogaServerInstance<Admitted, object>;

/** The schema's text, for clients and tests. */
export const schemaText: string = readFileSync(
  new URL('./schema.graphql', import.meta.url),
  'utf8',
);

/** Builds the schema over one router. With a gate nothing is executed that it does not let through. */
export function createEngine(
  context: RouterContext,
  logger: Logger,
  gate: Gate | undefined,
): GraphQlEngine {
  const mask = (error: unknown): Error => maskError(error, logger);
  const access = gate === undefined ? [] : [useAccess(gate, mask)];
  return createYoga<Admitted>({
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
    plugins: [useLimits(), ...access, useConsistency(context.router, mask)],
    maskedErrors: { maskError: mask },
  });
}

/**
 * Errors of ours keep code and message, and so do faults of the request; anything else becomes one line with an id
 * that the log has too.
 */
export function maskError(error: unknown, logger: Logger): Error {
  const original = rootOf(error);
  const located = error instanceof GraphQLError ? { nodes: error.nodes, path: error.path } : {};
  if (error instanceof GraphQLError && isOfRequest(error, original)) {
    const extensions = { code: 'ETL_INVALID_ARGUMENT', ...error.extensions };
    return new GraphQLError(error.message, { ...located, ...sourceOf(error), extensions });
  }
  if (isEtlError(original) && original.code !== 'ETL_INTERNAL') {
    const { code, message, retryable, details } = original;
    return new GraphQLError(message, { ...located, extensions: { code, retryable, details } });
  }
  const id = randomUUID();
  logger.error({ err: toEtlError(original), errorId: id }, 'a resolver failed');
  return new GraphQLError(`an internal error happened; the router's log has it under ${id}`, {
    ...located,
    extensions: { code: 'ETL_INTERNAL' },
  });
}

/** What was thrown first: GraphQL wraps errors of its own and of others, more than once for a variable. */
function rootOf(error: unknown): unknown {
  let root = error;
  while (root instanceof GraphQLError && root.originalError !== undefined) {
    root = root.originalError;
  }
  return root;
}

/** Nobody wrapped it, or a variable has a wrong value; below a field it is an answer of ours that has a wrong type. */
function isOfRequest(error: GraphQLError, root: unknown): boolean {
  return root === error || (root instanceof GraphQLError && error.path === undefined);
}

function sourceOf({ source, positions }: GraphQLError): {
  readonly source: GraphQLError['source'];
  readonly positions: GraphQLError['positions'];
} {
  return { source, positions };
}
