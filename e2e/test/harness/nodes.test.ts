// How many members nodes can hold, by what is known of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Node, spreadObstacle, takesPods } from '../../harness/nodes.ts';

const metadata = { name: 'one' };
const open: Node = { metadata, spec: { taints: [{ effect: 'PreferNoSchedule' }] } };
const cordoned: Node = { metadata, spec: { unschedulable: true } };
const tainted: Node = {
  metadata: { name: 'plane' },
  spec: { taints: [{ effect: 'NoSchedule' }] },
};

test('a node takes pods unless it is cordoned or a taint keeps them away', () => {
  const evicting: Node = { metadata, spec: { taints: [{ effect: 'NoExecute' }] } };
  assert.deepEqual([open, cordoned, tainted, evicting].map(takesPods), [true, false, false, false]);
});

test('members can be placed where there is a node for each, or where all nodes take some', () => {
  for (const nodes of [[open], [open, open], [open, open, open, tainted]])
    assert.equal(spreadObstacle(nodes, 3), undefined);
  for (const nodes of [[cordoned], [open, cordoned], [open, open, tainted]])
    assert.match(spreadObstacle(nodes, 3) ?? '', /3 members need 3 nodes that take pods/);
  assert.match(spreadObstacle([open, open, tainted], 3) ?? '', /2 of 3 .*\(plane\)/);
  assert.match(spreadObstacle([], 3) ?? '', /0 of 0/);
});
