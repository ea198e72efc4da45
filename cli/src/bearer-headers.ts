// How a token is shown to a router.

import { EtlError } from '@etl-router/core';

/**
 * RFC 6750 §2.1. Throws ETL_INVALID_ARGUMENT, without the token, for what can be none, such as one with the end of a line
 * in it, which HTTP would not take.
 */
export function bearerHeaders(token: string): { readonly [name: string]: string } {
  if (!/^[\w.~+/-]+=*$/.test(token))
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      'the token has characters that no token has: look at ETLCTL_TOKEN, or at the token of the kubeconfig',
    );
  return { authorization: `Bearer ${token}` };
}
