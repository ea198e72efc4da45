// Faults of machines, which only the local cluster can be told to have.

import { join } from 'node:path';
import { isLocal, root, run } from './kubectl.ts';

const script = join(root, 'e2e', 'cluster', 'cluster.sh');

/** cluster.sh, such as `machine('cut', '2')`. */
export async function machine(...args: readonly string[]): Promise<string> {
  if (!isLocal)
    throw new Error(`${args.join(' ')}: only the nodes of the local cluster can do that`);
  return run(script, args, { timeoutMs: 1_800_000 });
}

/** Number of a node of the local cluster, by its name. */
export function nodeNumber(name: string | undefined): string {
  const number = /^node(\d)$/.exec(name ?? '')?.[1];
  if (number === undefined) throw new Error(`${name} is no node of the local cluster`);
  return number;
}
