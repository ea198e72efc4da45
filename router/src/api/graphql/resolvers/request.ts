// How the command of a mutation is proposed: until the caller goes, and once for each request id, however often the
// request is sent and at whichever member.

import type { GraphQLResolveInfo } from 'graphql';
import type { ProposeOptions } from '../../../server/proposer.ts';
import { invalid } from '../../../state/names.ts';

/** Header with the caller's name of the request: 1 to 128 letters, digits and `. _ : ~ @ + -`. */
export const requestIdHeader = 'x-etl-request-id';

/** What yoga gives resolvers beside their arguments. */
export interface Call {
  readonly request?: Request;
}

/** Each mutation of a document is a request of its own. Throws ETL_INVALID_ARGUMENT. */
export function proposal(
  { request }: Call,
  { path }: Pick<GraphQLResolveInfo, 'path'>,
): ProposeOptions {
  const signal = request?.signal;
  const id = request?.headers.get(requestIdHeader);
  if (id === null || id === undefined) return { signal };
  if (!/^[\w.:~@+-]{1,128}$/.test(id))
    throw invalid(requestIdHeader, 'must be 1 to 128 letters, digits and . _ : ~ @ + -');
  return { signal, request: { requestId: `${id}:${path.key}` } };
}
