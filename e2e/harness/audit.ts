// What the API server of the local cluster was asked to write, and by whom: its audit log. Nothing else knows of writes that
// changed nothing, or were refused.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { localKubeconfig } from './kubectl.ts';

interface Audited {
  readonly verb: string;
  readonly user: { readonly extra?: { readonly [name: string]: readonly string[] } };
  readonly objectRef?: {
    readonly resource: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly requestReceivedTimestamp: string;
}

export interface AuditedWrite {
  /** Such as `update leases etl-operator`. */
  readonly what: string;
  readonly resource: string;
  readonly namespace: string | undefined;
  /** The pod whose token was shown. */
  readonly pod: string | undefined;
}

/** Every write of the operator since then. */
export function operatorWritesSince(fromMs: number): readonly AuditedWrite[] {
  const file = join(localKubeconfig, '..', 'log', 'audit.log');
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('etl-operator'))
    .map((line) => JSON.parse(line) as Audited)
    .filter(({ requestReceivedTimestamp }) => Date.parse(requestReceivedTimestamp) >= fromMs)
    .map(({ verb, user, objectRef }) => ({
      what: `${verb} ${objectRef?.resource} ${objectRef?.name}`,
      resource: objectRef?.resource ?? '',
      namespace: objectRef?.namespace,
      pod: user.extra?.['authentication.kubernetes.io/pod-name']?.[0],
    }));
}
