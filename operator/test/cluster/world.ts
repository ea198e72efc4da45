// Kubernetes and routers as the controller meets them, small enough to be run thousands of times: a StatefulSet whose
// controller lags, pods that start late or never, a kubelet that reports late, volumes, and members that elect, commit,
// lag and are changed. What the operator is not allowed to do is checked here, against what is so and not what it saw.

import { isDeepStrictEqual } from 'node:util';
import type { Random } from '@etl-router/core';
import { type EtlRouterCluster, etlRouterCluster, withDefaults } from '@etl-router/crds';
import type { UntypedObject } from '../../src/runtime/kube-object.ts';

export interface Disk {
  readonly raftId: string;
  /** The group that it belongs to or waits for. */
  group: Group | undefined;
  match: number;
  /** Members as this disk knows them. */
  known: readonly GroupMember[];
}

export interface GroupMember {
  readonly name: string;
  readonly raftId: string;
  readonly role: 'voter' | 'learner';
}

export interface Group {
  readonly id: string;
  term: number;
  commit: number;
  members: readonly GroupMember[];
  readonly removed: Set<string>;
  leader: string | undefined;
}

export interface Claim {
  readonly ordinal: number;
  readonly uid: string;
  readonly disk: Disk;
  terminating: boolean;
  size: string;
  /** Uid of the cluster whose it is. */
  owner: string;
  /** Where it is bound to is lost: no pod starts with it. */
  nodeLost: boolean;
  /** Somebody said of a pod with it that it does not come back. */
  isUnrecoverable: boolean;
  /** What the operator noted of that. */
  givenUpBy: string | undefined;
}

export interface Pod {
  readonly ordinal: number;
  readonly uid: string;
  unreadyStep: number;
  readonly revision: string;
  readonly isBad: boolean;
  readonly claim: Claim;
  version: number;
  startsAt: number;
  /** Ordinals of the peers that it was started with, its own too, 0 for nobody; undefined: it does not run. */
  peers: readonly number[] | undefined;
  reportedRunning: boolean;
  reportedReady: boolean;
  terminatingUntil: number | undefined;
  /** The operator asked for its end. */
  isOurs: boolean;
  nodeLost: boolean;
  unrecoverable: boolean;
  /** When it is taken away, because its node was deleted. */
  collectedAt: number | undefined;
}

/** Something that must never be. */
export class Violation extends Error {}

export interface Spec {
  readonly replicas: number;
  readonly version: string;
  readonly [field: string]: unknown;
}

const lagMax = 1000;

/** Versions of this name never start. */
export function isBadVersion(version: string): boolean {
  return version.startsWith('bad');
}

export class World {
  readonly random: Random;
  step = 0;
  cluster: EtlRouterCluster;
  readonly objects: Map<string, UntypedObject> = new Map();
  readonly pods: Map<number, Pod> = new Map();
  readonly claims: Map<number, Claim> = new Map();
  readonly groups: Group[] = [];
  pausedSince: number | undefined;
  refusesGrowth = false;
  #count = 0;

  constructor(random: Random, spec: Spec) {
    this.random = random;
    const object = {
      apiVersion: 'etl.router/v1',
      kind: 'EtlRouterCluster',
      metadata: {
        ...{ name: 'main', namespace: 'shop', uid: 'cluster-uid', resourceVersion: '1' },
        ...{ generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
      },
      spec,
    } as unknown as EtlRouterCluster;
    this.cluster = withDefaults(etlRouterCluster, object);
  }

  next(): number {
    return ++this.#count;
  }

  chance(probability: number): boolean {
    return this.random.next() < probability;
  }

  get group(): Group | undefined {
    return this.groups[0];
  }

  setSpec(change: Partial<Spec>): void {
    const spec = { ...this.cluster.spec, ...change };
    const generation = this.cluster.metadata.generation + 1;
    this.cluster = { ...this.cluster, spec, metadata: { ...this.cluster.metadata, generation } };
    this.touch();
    if (spec.reconciliation !== 'paused') this.pausedSince = undefined;
    else this.pausedSince ??= this.step;
  }

  touch(): void {
    const resourceVersion = String(this.next());
    this.cluster = { ...this.cluster, metadata: { ...this.cluster.metadata, resourceVersion } };
  }

  get set(): UntypedObject | undefined {
    return this.objects.get('StatefulSet/main');
  }

  get replicas(): number {
    return (this.set?.['spec'] as { replicas?: number } | undefined)?.replicas ?? 0;
  }

  /** Changes the StatefulSet's replicas, whoever asks for it. */
  scaleSet(replicas: number): void {
    const set = this.set;
    if (set === undefined) return;
    const spec = { ...(set['spec'] as object), replicas };
    this.putObject({ ...set, spec });
  }

  putObject(object: UntypedObject): void {
    const key = `${object.kind}/${object.metadata.name}`;
    const live = this.objects.get(key);
    const isNew = JSON.stringify(live?.['spec']) !== JSON.stringify(object['spec']);
    const metadata = {
      ...object.metadata,
      uid: live?.metadata.uid ?? `uid-${this.next()}`,
      generation: (live?.metadata.generation ?? 0) + (isNew ? 1 : 0),
    };
    const status = live?.['status'];
    this.objects.set(key, { ...object, metadata, ...(status === undefined ? {} : { status }) });
  }

  /** One moment later. */
  tick(): void {
    this.step++;
    if (this.chance(0.8)) this.#runSetController();
    for (const pod of this.pods.values()) this.#runPod(pod);
    for (const pod of this.pods.values()) {
      if (pod.collectedAt !== undefined && this.step >= pod.collectedAt) this.collect(pod);
    }
    for (const pod of this.pods.values()) this.#find(pod);
    for (const group of this.groups) this.#runGroup(group);
    for (const pod of this.pods.values()) this.#report(pod);
    for (const [ordinal, claim] of this.claims) {
      if (claim.terminating && this.pods.get(ordinal)?.claim !== claim) this.claims.delete(ordinal);
    }
  }

  isUp(ordinal: number): boolean {
    return this.pods.get(ordinal)?.peers !== undefined;
  }

  /** Runs, holds what was decided, and nobody of ours took it away. */
  isWorking({ name, raftId }: GroupMember, group: Group): boolean {
    const pod = this.pods.get(Number(name));
    const { disk } = pod?.claim ?? {};
    if (pod?.peers === undefined || disk?.raftId !== raftId) return false;
    const isEnding = pod.isOurs && pod.terminatingUntil !== undefined;
    return !isEnding && disk.match >= group.commit - lagMax;
  }

  working(group: Group, voters: readonly GroupMember[]): number {
    return voters.filter((voter) => this.isWorking(voter, group)).length;
  }

  endPod(pod: Pod, { isOurs, force }: { isOurs: boolean; force: boolean }): void {
    if (force) {
      this.pods.delete(pod.ordinal);
      return;
    }
    pod.isOurs ||= isOurs;
    pod.terminatingUntil ??= pod.nodeLost
      ? Number.POSITIVE_INFINITY
      : this.step + 1 + this.random.below(4);
    pod.version = this.next();
  }

  crash(pod: Pod): void {
    pod.peers = undefined;
    pod.startsAt = this.step + 1 + this.random.below(5);
  }

  loseNode(pod: Pod): void {
    pod.nodeLost = true;
    pod.claim.nodeLost = true;
    pod.peers = undefined;
    this.endPod(pod, { isOurs: false, force: false });
    pod.terminatingUntil = Number.POSITIVE_INFINITY;
  }

  healNode(pod: Pod): void {
    pod.claim.nodeLost = false;
    if (!pod.nodeLost) return;
    pod.nodeLost = false;
    pod.collectedAt = undefined;
    pod.terminatingUntil = this.step + 1;
  }

  /** Somebody says of the pod that it does not come back. */
  giveUp(pod: Pod): void {
    pod.unrecoverable = true;
    pod.claim.isUnrecoverable = true;
    pod.version = this.next();
  }

  /** The pod of a node that was deleted goes, with all that was said of it; the next one has the same volume. */
  collect(pod: Pod): void {
    this.pods.delete(pod.ordinal);
  }

  /** Pod and volume of a member vanish together. */
  loseDisk(ordinal: number): void {
    this.pods.delete(ordinal);
    this.claims.delete(ordinal);
  }

  #runSetController(): void {
    const { set } = this;
    if (set === undefined) return;
    const { template } = set['spec'] as { template: { metadata: { annotations: object } } };
    const marks = template.metadata.annotations as { readonly [name: string]: string };
    for (let ordinal = 1; ordinal <= this.replicas; ordinal++) {
      if (!this.pods.has(ordinal)) this.#startPod(ordinal, marks, template);
    }
    for (const pod of this.pods.values()) {
      if (pod.ordinal > this.replicas) this.endPod(pod, { isOurs: false, force: false });
    }
    const seen = (set['status'] as { observedGeneration?: number } | undefined)?.observedGeneration;
    if (seen === set.metadata.generation) return;
    const status = { observedGeneration: set.metadata.generation };
    this.objects.set('StatefulSet/main', { ...set, status });
  }

  #startPod(ordinal: number, marks: { readonly [name: string]: string }, template: object): void {
    const known = this.claims.get(ordinal);
    if (known?.terminating === true) return;
    const claim = known ?? this.#makeClaim(ordinal);
    this.claims.set(ordinal, claim);
    this.pods.set(ordinal, {
      ordinal,
      uid: `pod-${this.next()}`,
      unreadyStep: this.step,
      revision: marks['etl.router/revision'] ?? '',
      isBad: JSON.stringify(template).includes('etl/router:bad'),
      claim,
      version: this.next(),
      startsAt: this.step + 1 + this.random.below(4),
      peers: undefined,
      ...{ reportedRunning: false, reportedReady: false, terminatingUntil: undefined },
      ...{ isOurs: false, nodeLost: false, unrecoverable: false, collectedAt: undefined },
    });
  }

  #makeClaim(ordinal: number): Claim {
    const raftId = String(1000 + this.next());
    const disk: Disk = { raftId, group: undefined, match: 0, known: [] };
    return {
      ordinal,
      uid: `claim-${this.next()}`,
      disk,
      terminating: false,
      size: '10Gi',
      owner: this.cluster.metadata.uid,
      ...{ nodeLost: false, isUnrecoverable: false, givenUpBy: undefined },
    };
  }

  #runPod(pod: Pod): void {
    if (pod.terminatingUntil !== undefined && this.step >= pod.terminatingUntil) {
      this.pods.delete(pod.ordinal);
      return;
    }
    const isEnding = pod.terminatingUntil !== undefined;
    if (pod.peers !== undefined || pod.isBad || pod.claim.nodeLost || isEnding) return;
    if (this.step >= pod.startsAt) pod.peers = this.#listedPeers();
  }

  #listedPeers(): readonly number[] {
    const map = this.objects.get('ConfigMap/main-config') as
      | { readonly data?: { readonly 'router.yaml'?: string } }
      | undefined;
    const file = map?.data?.['router.yaml'] ?? '';
    return Array.from(file.matchAll(/^ {4}- (?:(\d+)@|nobody\.invalid)/gm), ([, ordinal]) =>
      Number(ordinal ?? 0),
    );
  }

  /** A member without a cluster asks those it was started with. */
  #find(pod: Pod): void {
    const { disk } = pod.claim;
    if (pod.peers === undefined || disk.group !== undefined) return;
    const peers = pod.peers.map((ordinal) => this.pods.get(ordinal));
    const answers = peers.flatMap((peer) => (peer?.peers === undefined ? [] : [peer]));
    const initialised = answers.find(({ claim }) => claim.disk.known.length > 0);
    if (initialised !== undefined) {
      disk.group = initialised.claim.disk.group;
      return;
    }
    const isWhole = answers.length === peers.length && answers.includes(pod);
    if (
      isWhole &&
      answers.every(
        ({ claim, peers: all }) => isDeepStrictEqual(all, pod.peers) && !claim.disk.group,
      )
    )
      this.#found(answers);
  }

  #found(founders: readonly Pod[]): void {
    const members = founders.map(
      ({ ordinal, claim }): GroupMember => ({
        name: String(ordinal),
        raftId: claim.disk.raftId,
        role: 'voter',
      }),
    );
    const id = `group-${this.next()}`;
    const group: Group = { id, term: 1, commit: 1, members, removed: new Set(), leader: undefined };
    for (const { claim } of founders)
      Object.assign(claim.disk, { group, match: 1, known: members });
    this.groups.push(group);
    if (this.groups.length > 1) throw new Violation('a second cluster was founded');
  }

  #diskOf({ name, raftId }: GroupMember): Disk | undefined {
    const disk = this.pods.get(Number(name))?.claim.disk;
    return disk?.raftId === raftId && this.isUp(Number(name)) ? disk : undefined;
  }

  #runGroup(group: Group): void {
    const voters = group.members.filter(({ role }) => role === 'voter');
    const up = voters.flatMap((voter) => this.#diskOf(voter) ?? []);
    const needed = Math.floor(voters.length / 2) + 1;
    if (up.length < needed || !up.some(({ raftId }) => raftId === group.leader))
      group.leader = undefined;
    if (up.length < needed) return;
    if (group.leader === undefined) {
      const able = up.filter(({ match }) => match >= group.commit);
      const chosen = able[this.random.below(Math.max(1, able.length))];
      if (chosen === undefined || this.chance(0.4)) return;
      group.leader = chosen.raftId;
      group.term++;
    }
    this.#replicate(group, up, needed);
  }

  /** The leader and enough others hold what is decided; the rest follow as they can. */
  #replicate(group: Group, up: readonly Disk[], needed: number): void {
    group.commit += this.random.below(600);
    const ordered = up.toSorted(
      (a, b) =>
        Number(b.raftId === group.leader) - Number(a.raftId === group.leader) || b.match - a.match,
    );
    for (const [at, disk] of ordered.entries()) {
      if (at < needed || this.chance(0.7)) disk.match = group.commit;
    }
    for (const learner of group.members.filter(({ role }) => role === 'learner')) {
      const disk = this.#diskOf(learner);
      if (disk !== undefined)
        disk.match = Math.min(group.commit, disk.match + this.random.below(3000));
    }
    for (const member of group.members) {
      const disk = this.#diskOf(member);
      if (disk !== undefined && (disk.raftId === group.leader || this.chance(0.8)))
        disk.known = group.members;
    }
    // Who is removed hears of it as a rule: the leader tells of it before it hangs up.
    for (const { claim } of this.pods.values()) {
      const { disk } = claim;
      if (group.removed.has(disk.raftId) && this.chance(0.8)) disk.known = group.members;
    }
  }

  #report(pod: Pod): void {
    const { disk } = pod.claim;
    const running = pod.peers !== undefined;
    const hasPart = disk.group?.members.some(({ raftId }) => raftId === disk.raftId) === true;
    const ready = running && hasPart && disk.group?.leader !== undefined;
    if (pod.nodeLost) {
      if (pod.reportedReady) {
        pod.version = this.next();
        pod.unreadyStep = this.step;
      }
      pod.reportedReady = false;
      return;
    }
    // That a container runs is told at once, that it is ready when the next probe is due.
    if (running === pod.reportedRunning && !this.chance(0.7)) return;
    if (running === pod.reportedRunning && ready === pod.reportedReady) return;
    if (pod.reportedReady && !ready) pod.unreadyStep = this.step;
    pod.reportedRunning = running;
    pod.reportedReady = ready;
    pod.version = this.next();
  }
}
