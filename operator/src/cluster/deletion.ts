// What goes with a cluster that is deleted, beside what the garbage collector takes. In doubt it stays.

import type { EtlRouterCluster } from '@etl-router/crds';
import type { UntypedObject } from '../runtime/kube-object.ts';
import { controllerUid } from '../runtime/ownership.ts';

type Storage = EtlRouterCluster['spec']['storage'];

/** Whether a cluster that is deleted takes its volumes along. */
export function volumesGo(cluster: EtlRouterCluster): boolean {
  // What was stored under an older schema may lack both.
  const { storage } = cluster.spec as { readonly storage?: Partial<Storage> };
  return storage?.retention?.whenDeleted === 'delete';
}

/**
 * Deleted with `--cascade=orphan`: what it had is to stay as it is. The garbage collector first takes the owner off `set`,
 * as the server has it now, and then the mark off the cluster; either may be all that is left to be seen.
 */
export function isOrphaning(
  { metadata }: EtlRouterCluster,
  set: Pick<UntypedObject, 'metadata'> | undefined,
): boolean {
  const isMarked = metadata.finalizers?.includes('orphan') === true;
  return isMarked || (set !== undefined && controllerUid(set) === undefined);
}
