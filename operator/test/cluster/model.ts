// One run of the model from one number: trouble first, of kinds drawn for this run, then none; then the cluster has to be
// what its spec says. Every violation names the seed.

import { type Random, seededRandom } from '@etl-router/core';
import { noTrouble, Operator, type Planner, type Trouble } from './operator.ts';
import { isReady } from './ready.ts';
import { type Claim, type Group, type Pod, Violation, World } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  readonly plan: Planner;
  /** Steps with trouble. Default 60. */
  readonly troubledSteps?: number;
}

const calmSteps = 700;

type Fault = (world: World) => void;

/** Runs one seed; throws {@link Violation}. */
export function runModel({ seed, plan, troubledSteps = 60 }: RunOptions): Operator {
  const random = seededRandom(seed);
  const world = new World(random, drawSpec(random));
  const operator = new Operator(world, plan);
  const faults = Object.values(allFaults).filter(() => random.next() < 0.5);
  const trouble: Trouble = {
    stale: random.next() * 0.8,
    silent: random.next() * 0.3,
    dies: random.next() * 0.2,
    fails: random.next() * 0.2,
    twice: random.next() * 0.2,
  };
  const rate = 0.05 + random.next() * 0.3;
  try {
    if (random.next() < 0.7) calm(world, operator, 30);
    for (let step = 0; step < troubledSteps; step++) {
      world.tick();
      const fault = faults[random.below(Math.max(1, faults.length))];
      if (fault !== undefined && random.next() < rate) fault(world);
      operator.run(trouble);
    }
    heal(world);
    settle(world, operator);
  } catch (error) {
    if (error instanceof Violation)
      throw new Violation(`seed ${seed}: ${error.message}\n${operator.log.slice(-12).join('\n')}`);
    throw error;
  }
  return operator;
}

function calm(world: World, operator: Operator, steps: number): void {
  for (let step = 0; step < steps; step++) {
    world.tick();
    operator.run(noTrouble);
  }
}

function drawSpec(random: Random) {
  const replicas = [1, 3, 3, 5][random.below(4)] as number;
  const strategy = 'automatic';
  return { replicas, version: 'v1', update: { strategy, memberReadyTimeout: '10m' } };
}

/** Ends all trouble: a spec that works, nodes that are back or given up. */
function heal(world: World): void {
  const { replicas: asked } = world.cluster.spec;
  const replicas = asked % 2 === 1 ? asked : 3;
  world.setSpec({ version: 'good', reconciliation: 'active', replicas });
  for (const claim of world.claims.values()) {
    if (!claim.nodeLost) continue;
    const pod = world.pods.get(claim.ordinal);
    // What was said of a pod is said again of the next one when nobody noted it before it was collected.
    if (pod === undefined || world.chance(0.5)) backOrMarked(world, claim);
    else giveUp(pod, world, notedAfter);
  }
}

function backOrMarked(world: World, claim: Claim): void {
  if (claim.givenUpBy !== undefined && world.chance(0.5)) return;
  const pod = world.pods.get(claim.ordinal);
  if (pod === undefined) claim.nodeLost = false;
  else world.healNode(pod);
}

function settle(world: World, operator: Operator): void {
  for (let step = 0; step < calmSteps; step++) {
    world.tick();
    operator.run(noTrouble);
    if (step % 5 === 0 && isReady(world, operator)) {
      const acts = operator.log.length;
      calm(world, operator, 15);
      if (operator.log.length > acts) throw new Violation('it acts though all is as it should be');
      return;
    }
  }
  const { status } = world.cluster;
  const state = JSON.stringify({
    conditions: operator.lastPlan?.conditions.map(
      ({ type, status: is, reason, message }) => `${type}=${is} ${reason}: ${message}`,
    ),
    operation: status?.operation,
    replicas: world.replicas,
    spec: [world.cluster.spec.replicas, world.cluster.spec.version],
    group: world.group?.members,
    pods: [...world.pods.values()].map(({ claim, ...pod }) => ({
      ...pod,
      raftId: claim.disk.raftId,
    })),
    claims: [...world.claims.values()].map(({ disk, ...claim }) => ({
      ...claim,
      raftId: disk.raftId,
    })),
  });
  throw new Violation(`it does not become as the spec says: ${state}`);
}

function anyPod(world: World): Pod | undefined {
  const pods = [...world.pods.values()];
  return pods[world.random.below(Math.max(1, pods.length))];
}

/** Whether a disk may be lost and those that stay still hold everything. */
function canLose(world: World, ordinal: number): boolean {
  const { group } = world;
  if (group?.leader === undefined || world.cluster.status?.clusterID === undefined) return false;
  const voters = group.members.filter(({ role }) => role === 'voter');
  const rest = voters.filter(({ name }) => Number(name) !== ordinal);
  return holding(world, group, rest) >= Math.floor(voters.length / 2) + 1;
}

function holding(world: World, group: Group, members: Group['members']): number {
  return members.filter(({ name, raftId }) => {
    const pod = world.pods.get(Number(name));
    const { disk } = pod?.claim ?? {};
    return pod?.claim.nodeLost === false && disk?.raftId === raftId && disk.match >= group.commit;
  }).length;
}

/** Steps after which an operator that runs has noted that a pod was given up: Kubernetes takes 40 s to collect it. */
const notedAfter = 8;

function giveUp(pod: Pod, world: World, leastSteps = 0): void {
  if (!canLose(world, pod.ordinal)) {
    world.healNode(pod);
    return;
  }
  world.giveUp(pod);
  // The guide has the node deleted, too.
  if (pod.nodeLost && world.chance(0.7))
    pod.collectedAt = world.step + leastSteps + world.random.below(12);
}

const allFaults: { readonly [name: string]: Fault } = {
  crash: (world) => {
    const pod = anyPod(world);
    if (pod?.peers !== undefined) world.crash(pod);
  },
  podDeleted: (world) => {
    const pod = anyPod(world);
    if (pod?.nodeLost === false) world.endPod(pod, { isOurs: false, force: false });
  },
  leaderChange: (world) => {
    const { group } = world;
    if (group !== undefined) group.leader = undefined;
  },
  scale: (world) => world.setSpec({ replicas: [1, 3, 5][world.random.below(3)] as number }),
  badImage: (world) => world.setSpec({ version: `bad${world.next()}` }),
  goodImage: (world) => world.setSpec({ version: `v${world.next()}` }),
  pause: (world) => {
    const reconciliation = world.pausedSince === undefined ? 'paused' : 'active';
    world.setSpec({ reconciliation });
  },
  evenReplicas: (world) => world.setSpec({ replicas: world.random.below(2) * 2 }),
  setScaled: (world) => world.scaleSet(world.random.below(7)),
  diskLost: (world) => {
    const pod = anyPod(world);
    if (pod !== undefined && canLose(world, pod.ordinal)) world.loseDisk(pod.ordinal);
  },
  nodeLost: (world) => {
    const pod = anyPod(world);
    if (pod !== undefined && canLose(world, pod.ordinal)) world.loseNode(pod);
  },
  nodeBack: (world) => {
    for (const pod of world.pods.values()) if (pod.claim.nodeLost) world.healNode(pod);
  },
  givenUp: (world) => {
    for (const pod of world.pods.values()) if (pod.claim.nodeLost) giveUp(pod, world);
  },
};
