// All resolvers of the schema, merged.

import { backupResolvers } from './backups.ts';
import { clusterResolvers } from './cluster.ts';
import type { RouterContext } from './context.ts';
import { deadLetterResolvers } from './dead-letters.ts';
import { objectResolvers } from './objects.ts';
import { pipelineResolvers } from './pipelines.ts';
import { positionResolvers } from './positions.ts';
import { problemResolvers } from './problems.ts';
import { serviceResolvers } from './services.ts';

/** Resolvers by type and field, as graphql-tools takes them. */
export interface Resolvers {
  readonly [type: string]: { readonly [field: string]: unknown };
}

/** The resolvers over one router. */
export function createResolvers(context: RouterContext): Resolvers {
  const parts = [
    clusterResolvers,
    backupResolvers,
    serviceResolvers,
    objectResolvers,
    pipelineResolvers,
    positionResolvers,
    deadLetterResolvers,
    problemResolvers,
  ].map((create) => create(context) as Resolvers);
  const merged: { [type: string]: { [field: string]: unknown } } = {};
  for (const part of parts) {
    for (const [type, fields] of Object.entries(part))
      merged[type] = { ...merged[type], ...fields };
  }
  return merged;
}
