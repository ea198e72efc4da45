// What only the operator may do. Where the gRPC API demands certificates, any of the cluster's authority lets a caller
// in; the services that change the cluster itself take those of the operator alone.

import type { PeerCertificate } from 'node:tls';
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';
import type { CallContext, Implementation } from '@etl-router/proto/grpc';
import { alternativeNames } from '../../tls/certificates.ts';

/** The name in the operator's certificate. */
export const operatorUri = 'etl-router://operator';

type Call = (request: unknown, context: CallContext) => unknown;

/** Looks at a call before its handler does. Throws to refuse it. */
export type BeforeCall = (method: DescMethod, context: CallContext) => Promise<void>;

/** Throws ETL_PERMISSION_DENIED unless the certificate is the operator's. */
export function checkOperator(certificate: PeerCertificate | undefined, method: string): void {
  const names = alternativeNames(certificate?.subjectaltname ?? '');
  if (names.includes(`URI:${operatorUri}`)) return;
  throw new EtlError(
    'ETL_PERMISSION_DENIED',
    `${method} needs a certificate with the subject alternative name URI:${operatorUri}; people have GraphQL`,
  );
}

/** The same handlers, each behind `before`. */
export function guarded<S extends DescService>(
  service: S,
  handlers: Implementation<S>,
  before: BeforeCall,
): Implementation<S> {
  const all = Object.entries<DescMethod>(service.method).map(([name, method]) => {
    const handler = (handlers[name as keyof S['method']] as unknown as Call).bind(handlers);
    const isStream = ['server_streaming', 'bidi_streaming'].includes(method.methodKind);
    return [
      name,
      isStream ? guardedStream(method, handler, before) : guardedCall(method, handler, before),
    ];
  });
  return Object.fromEntries(all) as Implementation<S>;
}

function guardedCall(method: DescMethod, handler: Call, before: BeforeCall): Call {
  return async (request, context) => {
    await before(method, context);
    return handler(request, context);
  };
}

function guardedStream(method: DescMethod, handler: Call, before: BeforeCall): Call {
  return async function* (request, context) {
    await before(method, context);
    yield* handler(request, context) as AsyncIterable<unknown>;
  };
}
