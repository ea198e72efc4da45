// Faults of machines, which only the local cluster can be told to have.

import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { isLocal, kubectl, root, run } from './kubectl.ts';

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

/** Waits until Kubernetes says of a node that it is ready, or is not. */
export async function nodeIs(node: string, isReady: boolean): Promise<void> {
  await eventually(`${node} is ${isReady ? '' : 'not '}ready`, async () => {
    const line = await kubectl(['get', 'node', node, '--no-headers', '--ignore-not-found']);
    return line.includes(' Ready ') === isReady;
  });
}
