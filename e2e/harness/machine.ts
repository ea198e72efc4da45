// Faults of machines, which only the local cluster can be told to have, and how many nodes a scenario is about.

import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { isLocal, kubectl, root, run } from './kubectl.ts';
import { allNodes, takesPods } from './nodes.ts';

const script = join(root, 'e2e', 'cluster', 'cluster.sh');

/** What scenarios do to machines, by the name of their file. */
const machineFaults: { readonly [scenario: string]: string } = {
  'apiserver-away': 'ends the API server',
  'node-cut': 'cuts the link of a node',
  'node-lost': 'ends a node at once',
  'operator-frozen': 'stops the processes of a pod where they are',
};

/** Nodes that have to take pods for a scenario to show something, by the name of its file. */
const leastNodes: { readonly [scenario: string]: number } = { 'node-drained': 3 };

/** Why a scenario can not be shown on this cluster, and what to do about it; undefined: it can. */
export async function obstacleOf(scenario: string): Promise<string | undefined> {
  // The local cluster has three nodes, and is not up yet when this is asked.
  if (isLocal) return undefined;
  const fault = machineFaults[scenario];
  if (fault !== undefined)
    return `${scenario} ${fault}, which only the local cluster can be told to: run it without KUBECONFIG`;
  const least = leastNodes[scenario];
  if (least === undefined) return undefined;
  const count = (await allNodes()).filter(takesPods).length;
  if (count >= least) return undefined;
  return `${scenario} needs ${least} nodes that take pods, and there are ${count}: add nodes, or run it without KUBECONFIG`;
}

/** Throws {@link obstacleOf} before anything is set up. */
export async function needsMachines(scenario: string): Promise<void> {
  const obstacle = await obstacleOf(scenario);
  if (obstacle !== undefined) throw new Error(obstacle);
}

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
