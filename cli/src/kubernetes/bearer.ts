// What a router is shown as proof of who asks: a token, since a router can ask the API server about nothing else. Tokens
// are never printed, and never part of an error.

import type { RequestOptions } from 'node:https';
import { EtlError } from '@etl-router/core';
import { type KubernetesPlace, split } from '../place.ts';
import type { ApiServer } from './api-server.ts';

/** The least that a token can be asked for. */
const tokenSeconds = 600;

/**
 * The token given in ETLCTL_TOKEN, a fresh one of `--service-account`, or the user's own. Throws ETL_UNAUTHENTICATED where
 * the user has none, and says what to do.
 */
export async function bearerOf(
  server: ApiServer,
  place: KubernetesPlace,
  namespace: string,
): Promise<string> {
  if (place.token !== undefined) return place.token;
  if (place.serviceAccount !== undefined) return requested(server, place.serviceAccount, namespace);
  const own = ownToken(await server.access.options());
  if (own !== undefined) return own;
  const { user } = server.access;
  throw new EtlError(
    'ETL_UNAUTHENTICATED',
    `user ${user} of ${server.access.shown} has no token, only a ${credentialOf(server)}, which can not be shown to a router; name a service account with --service-account that a Role lets get (and, for changes, update) etlrouterclusters/graphql, or set ETLCTL_TOKEN`,
  );
}

function ownToken({ headers }: RequestOptions): string | undefined {
  const header = (headers as { readonly [name: string]: unknown } | undefined)?.['Authorization'];
  return typeof header === 'string' ? /^Bearer (\S+)$/.exec(header)?.[1] : undefined;
}

function credentialOf({ access }: ApiServer): string {
  const user = access.config.getCurrentUser();
  if (user?.username) return 'password';
  return 'client certificate';
}

async function requested(server: ApiServer, account: string, namespace: string): Promise<string> {
  const { namespace: own, name } = split('--service-account', account);
  const path = `/api/v1/namespaces/${own ?? namespace}/serviceaccounts/${name}/token`;
  const request = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: tokenSeconds },
  };
  const { status } = await server.create<{ status?: { token?: string } }>(path, request);
  if (status?.token) return status.token;
  throw new EtlError(
    'ETL_UNAUTHENTICATED',
    `the API server made no token for service account ${own ?? namespace}/${name}`,
  );
}
