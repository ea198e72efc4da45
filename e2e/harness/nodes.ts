// Nodes as the scheduler sees them: what can be shown depends on how many take pods.

import { type KubeObject, list } from './kubectl.ts';

export interface Node extends KubeObject {
  readonly spec: {
    readonly unschedulable?: boolean;
    readonly taints?: readonly { readonly effect: string }[];
  };
}

export const isCordoned = ({ spec }: Node): boolean => spec.unschedulable === true;

/** Whether pods that tolerate nothing may come to it; one that is full is not known to be. */
export function takesPods(node: Node): boolean {
  const { taints = [] } = node.spec;
  return !isCordoned(node) && taints.every(({ effect }) => effect === 'PreferNoSchedule');
}

export function allNodes(): Promise<readonly Node[]> {
  return list<Node>('nodes');
}

/**
 * Why members that are spread as by default can not all be placed, and what to do about it; undefined: they can. A node
 * that takes no pods counts in the spread: no other one gets a second member beside it.
 */
export function spreadObstacle(nodes: readonly Node[], members: number): string | undefined {
  const others = nodes.filter((node) => !takesPods(node));
  const count = nodes.length - others.length;
  if (count >= members || (count > 0 && others.length === 0)) return undefined;
  const names = others.map(({ metadata }) => metadata.name).join(', ');
  return (
    `${count} of ${nodes.length} nodes take pods, and those that do not (${names}) count in the spread: ` +
    `${members} members need ${members} nodes that take pods, or no node that takes none: ` +
    'add nodes, uncordon them, or take their taints away'
  );
}
