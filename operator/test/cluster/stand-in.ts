// Kubernetes and routers for the real operator: the world of the model behind the pretend API server, its pods speaking
// real gRPC by mutual TLS, each on an address of its own. What the model forbids is forbidden here, and is told after
// every step.

import { type Clock, EtlError, type Random } from '@etl-router/core';
import { MemberRole, RouterAdmin } from '@etl-router/proto/admin';
import {
  addService,
  bindServer,
  type CallContext,
  createServer,
  type Implementation,
} from '@etl-router/proto/grpc';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { annotations, clusterUidLabel, givenUpLabel } from '../../src/cluster/names.ts';
import type { Act } from '../../src/cluster/step.ts';
import type { MemberWord } from '../../src/cluster/view.ts';
import type { FaultyApiServer } from '../faulty-api-server/faulty-api-server.ts';
import type { JsonObject, Stored } from '../faulty-api-server/json.ts';
import type { Change, ObjectKey } from '../faulty-api-server/object-store.ts';
import { perform, Refused } from './acts.ts';
import { wordsOf } from './words.ts';
import { type Claim, type Pod, Violation, World } from './world.ts';

const pods = '/api/v1/pods';
const claims = '/api/v1/persistentvolumeclaims';
const sets = '/apis/apps/v1/statefulsets';
const configMaps = '/api/v1/configmaps';
const secrets = '/api/v1/secrets';
export const clusters = '/apis/etl.router/v1/etlrouterclusters';

/** Keeps what was deleted until the stand-in lets go of it, as kubelets and protections do. */
const heldBy = 'test/stand-in';

/** A call that a member was told to refuse, or the epochs it came with. */
export interface AdminCall {
  readonly method: string;
  readonly epoch: string | undefined;
}

export interface StandInOptions {
  readonly server: FaultyApiServer;
  readonly clock: Clock;
  readonly random: Random;
  /** The first three numbers of the addresses of pods, which nobody else uses. */
  readonly network: string;
}

interface Listening {
  readonly uid: string;
  /** Of the certificates that it listens with: a router reads them again when they change. */
  readonly versions: string;
  readonly grpc: Server;
}

export class StandIn {
  readonly world: World;
  /** What must not be and was. */
  readonly violations: Error[] = [];
  readonly calls: AdminCall[] = [];
  /** Calls that change members fail with it while it is set. */
  refusal: EtlError | undefined;
  readonly #options: StandInOptions;
  readonly #listening = new Map<number, Listening>();
  /** Of the model's pods and claims, where they are on the server. */
  readonly #uids = new Map<string, string>();
  #mirroring = false;

  constructor(options: StandInOptions) {
    this.#options = options;
    this.world = new World(options.random, { replicas: 1, version: 'v1' });
    const { store } = options.server;
    const tell = store.onChange;
    store.onChange = (change) => {
      tell(change);
      this.#noteChange(change);
    };
  }

  /** One moment later: the world goes on, and the server is told. */
  async tick(): Promise<void> {
    this.#takeOver();
    this.#guard(() => this.world.tick());
    this.#mirror();
    await this.#listen();
  }

  async close(): Promise<void> {
    for (const { grpc } of this.#listening.values()) grpc.forceShutdown();
    this.#listening.clear();
    await Promise.resolve();
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.violations.push(error);
    }
  }

  /** What the operator wrote, as the model takes it. */
  #takeOver(): void {
    const { store } = this.#options.server;
    this.#takeOverCluster();
    const config = store.find({ collection: configMaps, namespace: 'shop', name: 'main-config' });
    for (const object of [config, this.#set()]) {
      if (object !== undefined) this.world.putObject(plain(object) as never);
    }
  }

  #takeOverCluster(): void {
    const [cluster] = this.#options.server.store.list(clusters, 'shop');
    if (cluster !== undefined) this.world.cluster = cluster as never;
  }

  #set(): Stored | undefined {
    return this.#options.server.store.find({ collection: sets, namespace: 'shop', name: 'main' });
  }

  /** Acts that came by the API server. */
  #noteChange({ collection, before, after, gone }: Change): void {
    if (this.#mirroring || gone || before === undefined) return;
    const wasDeleted = before.metadata['deletionTimestamp'] !== undefined;
    const isDeleted = after.metadata['deletionTimestamp'] !== undefined;
    const { name } = after.metadata;
    if (collection === sets) this.#noteScaling(before, replicasOf(after));
    if (wasDeleted || !isDeleted) return;
    this.#takeOverCluster();
    if (collection === pods) {
      const pod = this.#podOf(after);
      if (pod === undefined) return;
      const { uid, version } = pod;
      const resourceVersion = String(version);
      this.#perform({ kind: 'deletePod', name, uid, resourceVersion, force: false });
    } else if (collection === claims) {
      const claim = [...this.world.claims.values()].find((each) => claimName(each) === name);
      if (claim !== undefined) this.#perform({ kind: 'deleteClaim', name, uid: claim.uid });
    }
  }

  #noteScaling(before: Stored, replicas: number): void {
    const from = replicasOf(before);
    if (replicas >= from) return;
    this.world.putObject(plain(before) as never);
    this.#perform({ kind: 'setReplicas', from, replicas });
  }

  #perform(act: Act): void {
    this.#guard(() => {
      try {
        perform(this.world, act);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
      }
    });
  }

  #podOf({ metadata }: Stored): Pod | undefined {
    return [...this.world.pods.values()].find(({ uid }) => this.#uids.get(uid) === metadata.uid);
  }

  #mirror(): void {
    // What is left of a StatefulSet that was deleted is the garbage collector's.
    if (this.#set() === undefined) return;
    this.#mirroring = true;
    try {
      this.#observeSet();
      this.#mirrorClaims();
      this.#mirrorPods();
    } finally {
      this.#mirroring = false;
    }
  }

  #observeSet(): void {
    const { store } = this.#options.server;
    const set = this.#set();
    const seen = this.world.set;
    const { observedGeneration } = (seen?.['status'] ?? {}) as { observedGeneration?: number };
    if (set === undefined || observedGeneration !== seen?.metadata.generation) return;
    const status = { observedGeneration: set.metadata['generation'] as number };
    const key = { collection: sets, namespace: 'shop', name: 'main' };
    store.replace(key, { ...structuredClone(set), status }, 'status');
  }

  #mirrorClaims(): void {
    const { store } = this.#options.server;
    for (const claim of this.world.claims.values()) {
      const key = { collection: claims, namespace: 'shop', name: claimName(claim) };
      const found = store.find(key);
      if (found === undefined) {
        this.#uids.set(claim.uid, this.#put(key, this.#claimObject(claim)));
        continue;
      }
      claim.size = sizeOf(found);
      claim.owner = labelsOf(found)[clusterUidLabel] ?? '';
      claim.givenUpBy = labelsOf(found)[givenUpLabel];
    }
    const names = new Set([...this.world.claims.values()].map(claimName));
    for (const { metadata } of store.list(claims, 'shop')) {
      if (!names.has(metadata.name)) this.#drop({ collection: claims, name: metadata.name });
    }
  }

  /** With the labels that the StatefulSet gives its claims. */
  #claimObject(claim: Claim): JsonObject {
    const { volumeClaimTemplates } = (this.#set() as Stored)['spec'] as JsonObject;
    const [template] = volumeClaimTemplates as [{ readonly metadata: JsonObject }];
    const { labels } = template.metadata;
    return {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: {
        ...{ name: claimName(claim), namespace: 'shop', finalizers: [heldBy] },
        labels: labels as JsonObject,
      },
      spec: { resources: { requests: { storage: claim.size } } },
    };
  }

  #mirrorPods(): void {
    const { store } = this.#options.server;
    const live = new Set([...this.world.pods.values()].map(({ uid }) => this.#uids.get(uid)));
    for (const { metadata } of store.list(pods, 'shop')) {
      if (!live.has(metadata.uid)) this.#drop({ collection: pods, name: metadata.name });
    }
    for (const pod of this.world.pods.values()) {
      const key = { collection: pods, namespace: 'shop', name: `main-${pod.ordinal}` };
      const found = store.find(key);
      if (found === undefined) {
        this.#uids.set(pod.uid, this.#put(key, this.#podObject(pod)));
        continue;
      }
      if (!pod.unrecoverable && marksOf(found)[annotations.unrecoverable] === 'true')
        this.world.giveUp(pod);
      const { status } = this.#podObject(pod, found);
      store.replace(key, { ...structuredClone(found), status: status as JsonObject }, 'status');
      if (pod.terminatingUntil !== undefined && found.metadata['deletionTimestamp'] === undefined)
        store.delete(key);
    }
  }

  #put(key: ObjectKey, object: JsonObject): string {
    const { store } = this.#options.server;
    const { status, ...rest } = object;
    const made = store.create(key, rest);
    if (status !== undefined) store.replace(key, { ...structuredClone(made), status }, 'status');
    return made.metadata.uid;
  }

  #drop({ collection, name }: { readonly collection: string; readonly name: string }): void {
    const { store } = this.#options.server;
    const key = { collection, namespace: 'shop', name };
    if (store.get(key).metadata['deletionTimestamp'] === undefined) store.delete(key);
    store.patch(key, [{ op: 'remove', path: '/metadata/finalizers' }]);
  }

  #podObject(pod: Pod, found?: Stored): JsonObject {
    const { template } = (this.#set() as Stored)['spec'] as { template: JsonObject };
    const { labels, annotations: marks } = template['metadata'] as JsonObject;
    const { containers } = template['spec'] as { containers: { image: string }[] };
    const now = new Date(this.#options.clock.wallMs()).toISOString();
    const known = (found?.['status'] as { conditions?: JsonObject[] } | undefined)?.conditions;
    const ready = pod.reportedReady && pod.terminatingUntil === undefined ? 'True' : 'False';
    const before = known?.find(({ type }) => type === 'Ready');
    const since = before?.['status'] === ready ? (before['lastTransitionTime'] as string) : now;
    const waiting = { waiting: { reason: pod.isBad ? 'ImagePullBackOff' : 'ContainerCreating' } };
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...{ name: `main-${pod.ordinal}`, namespace: 'shop', finalizers: [heldBy] },
        ...{ labels: labels as JsonObject, annotations: marks as JsonObject },
      },
      spec: { containers: [{ name: 'router', image: containers[0]?.image ?? '' }] },
      status: {
        phase: pod.peers === undefined ? 'Pending' : 'Running',
        podIP: this.#addressOf(pod.ordinal),
        conditions: [
          { type: 'PodScheduled', status: 'True' },
          { type: 'Ready', status: ready, lastTransitionTime: since },
        ],
        containerStatuses: [
          { name: 'router', state: pod.reportedRunning ? { running: {} } : waiting },
        ],
      },
    };
  }

  #addressOf(ordinal: number): string {
    return `${this.#options.network}.${ordinal}`;
  }

  /** Pods that run listen, those that do not hang up. */
  async #listen(): Promise<void> {
    const versions = this.#versions();
    for (const [ordinal, { uid, grpc, ...known }] of [...this.#listening]) {
      const pod = this.world.pods.get(ordinal);
      const isSame = pod?.uid === uid && known.versions === versions;
      if (isSame && pod?.peers !== undefined) continue;
      grpc.forceShutdown();
      this.#listening.delete(ordinal);
    }
    for (const pod of this.world.pods.values()) {
      if (pod.peers === undefined || this.#listening.has(pod.ordinal)) continue;
      const credentials = this.#credentials();
      if (credentials === undefined) continue;
      const grpc = createServer();
      addService(grpc, RouterAdmin, this.#admin(pod));
      await bindServer(grpc, `${this.#addressOf(pod.ordinal)}:50051`, credentials);
      this.#listening.set(pod.ordinal, { uid: pod.uid, versions, grpc });
    }
  }

  #versions(): string {
    const { store } = this.#options.server;
    const version = (collection: string, name: string): string | undefined =>
      store.find({ collection, namespace: 'shop', name })?.metadata.resourceVersion;
    return `${version(secrets, 'main-tls')} ${version(configMaps, 'main-ca')}`;
  }

  #credentials(): ServerCredentials | undefined {
    const { store } = this.#options.server;
    const find = (collection: string, name: string): JsonObject | undefined =>
      store.find({ collection, namespace: 'shop', name })?.['data'] as JsonObject | undefined;
    const pair = find(secrets, 'main-tls');
    const bundle = find(configMaps, 'main-ca');
    if (pair === undefined || bundle === undefined) return undefined;
    const decode = (key: string): Buffer => Buffer.from(pair[key] as string, 'base64');
    const pairs = [{ cert_chain: decode('tls.crt'), private_key: decode('tls.key') }];
    return ServerCredentials.createSsl(Buffer.from(bundle['ca.crt'] as string), pairs, true);
  }

  #admin(pod: Pod): Implementation<typeof RouterAdmin> {
    const change = (method: string, context: CallContext, act: Act): { members: [] } => {
      this.calls.push({ method, epoch: context.header('etl-operator-epoch') });
      const names = context.certificate()?.subjectaltname ?? '';
      if (!names.includes('URI:etl-router://operator'))
        throw new EtlError('ETL_PERMISSION_DENIED', 'only the operator administers');
      if (this.refusal !== undefined) throw this.refusal;
      const { group, raftId } = pod.claim.disk;
      if (group?.leader !== raftId) throw new EtlError('ETL_NOT_LEADER', 'another member leads');
      this.#guard(() => {
        try {
          perform(this.world, act);
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          throw new EtlError('ETL_CONFLICT', error.message);
        }
      });
      return { members: [] };
    };
    const handlers: Partial<Implementation<typeof RouterAdmin>> = {
      getClusterStatus: () => this.#statusOf(pod),
      addLearner: ({ name, raftId, address }, context) => {
        const act = { kind: 'addLearner', name, raftId: String(raftId), address } as const;
        return change('addLearner', context, act);
      },
      promoteMember: ({ raftId }, context) =>
        change('promoteMember', context, { kind: 'promote', raftId: String(raftId) }),
      removeMember: ({ raftId }, context) =>
        change('removeMember', context, { kind: 'removeMember', raftId: String(raftId) }),
      transferLeadership: ({ toRaftId }, context) => {
        const act = { kind: 'transferLeadership', toRaftId: String(toRaftId) } as const;
        change('transferLeadership', context, act);
        return { leader: '' };
      },
    };
    const unused = (): never => {
      throw new EtlError('ETL_UNSUPPORTED', 'nobody asks for that here');
    };
    return new Proxy(handlers, {
      get: (target, name) => target[name as keyof typeof target] ?? unused,
    }) as Implementation<typeof RouterAdmin>;
  }

  #statusOf(pod: Pod) {
    const [word] = wordsOf(this.world, pod, 0);
    if (word === undefined) throw new EtlError('ETL_UNAVAILABLE', 'the member has found nobody');
    return toStatus(word);
  }
}

/** The answer that is read as the word. */
function toStatus(word: MemberWord) {
  const { leader = '', members, ordinal, raftId, ...rest } = word;
  const { term, commitIndex, appliedIndex } = rest;
  return {
    clusterId: word.clusterId,
    name: String(ordinal),
    leader,
    version: word.version,
    raftId: BigInt(raftId),
    term: BigInt(term),
    commitIndex: BigInt(commitIndex),
    appliedIndex: BigInt(appliedIndex),
    members: members.map((member) => ({
      name: member.name,
      raftId: BigInt(member.raftId),
      role:
        member.role === 'learner'
          ? MemberRole.LEARNER
          : member.name === leader
            ? MemberRole.LEADER
            : MemberRole.FOLLOWER,
      healthy: member.healthy === true,
      matchIndex: BigInt(member.matchIndex ?? 0),
    })),
  };
}

function claimName({ ordinal }: Claim): string {
  return `data-main-${ordinal}`;
}

function labelsOf({ metadata }: Stored): { readonly [name: string]: string } {
  return (metadata['labels'] ?? {}) as { readonly [name: string]: string };
}

function marksOf({ metadata }: Stored): { readonly [name: string]: string } {
  return (metadata['annotations'] ?? {}) as { readonly [name: string]: string };
}

function sizeOf(claim: Stored): string {
  const { resources } = claim['spec'] as {
    readonly resources: { readonly requests: { readonly storage: string } };
  };
  return resources.requests.storage;
}

function replicasOf(set: Stored): number {
  return (set['spec'] as { readonly replicas?: number }).replicas ?? 1;
}

/** Without what only the server cares for. */
function plain(object: Stored): JsonObject {
  const { managedFields: _, ...metadata } = object.metadata as JsonObject;
  return { ...object, metadata } as JsonObject;
}
