// Places at which a test has this process die as if it were killed, to show that the next one goes on from what it sees.
// ETL_FAILPOINT names one of them, ETL_FAILPOINT=after-act:addLearner#2; what follows # only makes the name a new one. A
// name kills once: the Lease keeps the last one that did, and the process that comes after it passes. Never set it outside
// of tests.

import process from 'node:process';
import { EtlError } from '@etl-router/core';
import { isConflict } from './runtime/api-error.ts';
import type { ObjectRef, UntypedObject } from './runtime/kube-object.ts';
import type { RawKube } from './runtime/raw-kube.ts';

/** Where the last failpoint that killed is noted. */
export const failpointAnnotation = 'etl.router/failpoint';

/** Between what and what a process may die. */
export const failpoints = [
  'before-certificate',
  'after-certificate',
  'before-status',
  'after-status',
  'after-record',
  'after-objects',
  'before-act',
  'after-act',
  'before-finalizer',
] as const;
export type Failpoint = (typeof failpoints)[number];

/** Dies there when it is told to; `detail` is the kind of the act or step, the phase recorded, or the cluster's name. */
export type PassFailpoint = (point: Failpoint, detail?: string) => Promise<void>;

export const noFailpoint: PassFailpoint = () => Promise.resolve();

/** Throws ETL_CONFIG_INVALID for a name that there is not. */
export function parseFailpoint(value: string): {
  readonly point: Failpoint;
  readonly detail?: string;
} {
  const [name = ''] = value.split('#', 1);
  const [text = '', detail] = name.split(':', 2);
  const point = failpoints.find((each) => each === text);
  if (point === undefined) {
    throw new EtlError(
      'ETL_CONFIG_INVALID',
      `ETL_FAILPOINT: there is no ${text}; there are ${failpoints.join(', ')}`,
    );
  }
  return detail === undefined ? { point } : { point, detail };
}

/** The failpoint of this process. */
export function createFailpoint(
  value: string,
  options: {
    readonly client: Pick<RawKube, 'get' | 'replace'>;
    readonly lease: ObjectRef;
    /** Default: SIGKILL to this process. */
    readonly die?: (() => void) | undefined;
  },
): PassFailpoint {
  const wanted = parseFailpoint(value);
  const { client, lease, die = killSelf } = options;
  return async (point, detail) => {
    if (point !== wanted.point) return;
    if (wanted.detail !== undefined && wanted.detail !== detail) return;
    if (!(await noteOnce(client, lease, value))) return;
    die();
    // Whoever is being killed does nothing more.
    await new Promise<never>(() => undefined);
  };
}

/** The first process of a container can not be killed from within it: it ends with the code of those that are. */
function killSelf(): void {
  process.kill(process.pid, 'SIGKILL');
  process.exit(137);
}

/** False when this very name has killed before. */
async function noteOnce(
  client: Pick<RawKube, 'get' | 'replace'>,
  lease: ObjectRef,
  value: string,
): Promise<boolean> {
  for (;;) {
    const found = await client.get<UntypedObject>(lease);
    if (found.metadata.annotations?.[failpointAnnotation] === value) return false;
    const annotations = { ...found.metadata.annotations, [failpointAnnotation]: value };
    try {
      await client.replace(lease, { ...found, metadata: { ...found.metadata, annotations } });
      return true;
    } catch (error) {
      // The lease is renewed all the time.
      if (!isConflict(error)) throw error;
    }
  }
}
