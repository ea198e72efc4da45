// What became of a router cluster and of its pods, in the order in which it was written, to tell what came before what.

import assert from 'node:assert/strict';
import type { EtlRouterClusterStatus, EtlRouterClusterStatusMember } from '@etl-router/crds';
import { type ClusterObject, isReady, type Pod, type RouterCluster } from './router-cluster.ts';
import { type Change, Watch } from './watch.ts';

/** How things stood at one time. */
export interface Moment {
  readonly status: EtlRouterClusterStatus;
  /** By name. */
  readonly pods: ReadonlyMap<string, Pod>;
}

/** A pod that was told to end, and how things stood then. */
export interface Departure extends Moment {
  readonly pod: string;
}

type Watched = readonly [Watch<ClusterObject>, Watch<Pod>];

/** Every moment of the cluster while `act` goes on. */
export async function recorded(
  cluster: RouterCluster,
  act: () => Promise<unknown>,
): Promise<readonly Moment[]> {
  const { namespace } = cluster;
  const clusters = await Watch.start<ClusterObject>(
    `/apis/etl.router/v1/namespaces/${namespace}/etlrouterclusters`,
  );
  try {
    const pods = await Watch.start<Pod>(`/api/v1/namespaces/${namespace}/pods`);
    try {
      const before = await changesOf(cluster, [clusters, pods]);
      await act();
      const all = await changesOf(cluster, [clusters, pods]);
      return momentsOf(all, before.at(-1)?.revision ?? 0);
    } finally {
      pods.close();
    }
  } finally {
    clusters.close();
  }
}

async function changesOf(
  { name }: RouterCluster,
  [clusters, pods]: Watched,
): Promise<readonly Change<ClusterObject | Pod>[]> {
  const ofClusters = (await clusters.changes()).filter(
    ({ object: { metadata } }) => metadata.name === name,
  );
  const ofPods = (await pods.changes()).filter(
    ({ object: { metadata } }) => metadata.labels?.['etl.router/cluster'] === name,
  );
  return [...ofClusters, ...ofPods].sort((a, b) => a.revision - b.revision);
}

/** From a revision on: before it not all that there was is known. */
function momentsOf(
  changes: readonly Change<ClusterObject | Pod>[],
  fromRevision: number,
): readonly Moment[] {
  let status: EtlRouterClusterStatus = {};
  let pods: ReadonlyMap<string, Pod> = new Map();
  return changes.flatMap(({ revision, isGone, object }) => {
    if (isPod(object)) {
      const others = [...pods].filter(([name]) => name !== object.metadata.name);
      pods = new Map(isGone ? others : [...others, [object.metadata.name, object]]);
    } else status = object.status ?? {};
    return revision < fromRevision ? [] : [{ status, pods }];
  });
}

/** Objects of lists do not say their kind. */
const isPod = (object: ClusterObject | Pod): object is Pod => 'containers' in object.spec;

/** Pods in the order in which they were told to end. */
export function departuresOf(moments: readonly Moment[]): readonly Departure[] {
  return moments.flatMap((moment, at) => {
    const before = moments[at - 1]?.pods ?? moment.pods;
    const gone = [...before.values()].filter(({ metadata }) => {
      const now = moment.pods.get(metadata.name);
      const isThere = now?.metadata.uid === metadata.uid && !isLeaving(now);
      return metadata.deletionTimestamp === undefined && !isThere;
    });
    return gone.map(({ metadata: { name } }) => ({ ...moment, pod: name }));
  });
}

function memberOf({ status }: Moment, name: string): EtlRouterClusterStatusMember | undefined {
  return status.members?.find((each) => each.name === name);
}

/** Each of them was a learner first, then a voter, and under one id. */
export function assertJoined(moments: readonly Moment[], names: readonly string[]): void {
  for (const name of names) {
    const seen = moments.flatMap((moment) => memberOf(moment, name) ?? []);
    const steps = seen.map(({ memberID, role }) => `${memberID} ${role}`);
    const id = seen[0]?.memberID;
    assert.deepEqual([...new Set(steps)], [`${id} learner`, `${id} voter`], name);
  }
}

/** Their pods, and no others, were told to end, in this order; each was no member any more by then. */
export function assertLeft(moments: readonly Moment[], names: readonly string[]): void {
  const departures = departuresOf(moments);
  assert.deepEqual(
    departures.map(({ pod }) => pod),
    names,
    'pods that were told to end',
  );
  for (const departure of departures)
    assert.equal(memberOf(departure, departure.pod), undefined, `${departure.pod} left before`);
}

/** Every pod was replaced once, while all others were ready; none that led then, and who led before went last. */
export function assertRolled(moments: readonly Moment[], names: readonly string[]): void {
  const departures = departuresOf(moments);
  const order = departures.map(({ pod }) => pod);
  assert.deepEqual(order.toSorted(), names, 'each pod was told to end once');
  for (const { pod, pods, status } of departures) {
    const others = [...pods.values()].filter(({ metadata }) => metadata.name !== pod);
    const ready = others.filter((each) => isReady(each) && !isLeaving(each));
    assert.equal(ready.length, names.length - 1, `the others are ready when ${pod} goes`);
    assert.notEqual(status.leader, undefined, `somebody leads when ${pod} goes`);
    assert.notEqual(status.leader?.name, pod, `${pod} has handed over when it goes`);
  }
  assert.equal(departures.at(-2)?.status.leader?.name, order.at(-1), 'who led goes last');
}

const isLeaving = (pod: Pod | undefined): boolean => pod?.metadata.deletionTimestamp !== undefined;
