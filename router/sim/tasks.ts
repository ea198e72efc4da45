// What clients ask of the API, and how the answer is compared with the log: a write with the one effect that its request
// had, a read with the rows after the entry as of which it was made.

import type { Random } from '@etl-router/core';
import { apiVersion, type Manifest } from '@etl-router/pipeline';
import type { CommandResult } from '@etl-router/proto';
import type { Answer, Request } from '../linearizability/answers.ts';
import { type RouterObject, toRouterObject } from '../src/server/object-view.ts';
import type { ProposeOptions } from '../src/server/proposer.ts';
import type { Router } from '../src/server/router.ts';
import { fromStoredHealth } from '../src/server/service-view.ts';
import { laneRowKey, objectKey } from '../src/state/keys.ts';
import { joinKey } from '../src/state/table.ts';
import type { CountName } from './coverage.ts';
import type { Profile } from './profile.ts';
import type { Truth } from './truth.ts';

/** What a client remembers. */
export interface ClientState {
  readonly number: number;
  sessionId: string | undefined;
  requests: number;
  /** The plan that the pipeline is run by, as it was read last. */
  planVersion: number | undefined;
  /** Generation of its group, as it was told last. */
  generation: number | undefined;
  /** Resource versions of objects, by name. */
  readonly versions: Map<string, number>;
  /** Epochs of the lanes that it opened, by partition. */
  readonly epochs: Map<string, number>;
}

/** Something to read. */
export interface Question {
  readonly name: string;
  readonly look: (router: Router) => string;
  readonly expect: (truth: Truth, index: number) => string;
  /** The same for the history, where there are models of it: keys, and their answers from what was looked at. */
  readonly history?: {
    readonly asks: readonly Request[];
    readonly tell: (seen: string) => readonly Answer[];
  };
}

export type Task =
  | {
      readonly kind: 'write';
      /** Under a session of its own, or under the one that all share. */
      readonly hasSession: boolean;
      readonly counts?: CountName;
      /** The same for the history, where there is a model of it. */
      readonly asks?: Request;
      /** The answer as text; undefined: it was given, and does not say it. */
      readonly send: (router: Router, options: ProposeOptions) => Promise<string | undefined>;
      /** The same text, from what the state machine answered. */
      readonly tell: (answer: CommandResult) => string;
      readonly done?: (answer: CommandResult) => void;
    }
  | { readonly kind: 'read'; readonly question: Question };

type Write = Omit<Extract<Task, { kind: 'write' }>, 'kind' | 'hasSession'>;

interface Draw {
  readonly profile: Profile;
  readonly random: Random;
  readonly kind?: Task['kind'];
}

const namespace = 'sim';
const pipelineId = 'sim/flow';
const sidecarId = 'sim/sidecar';
const groupId = 'readers';
const partitions = ['0', '1', '2'] as const;

const manifests = `
apiVersion: ${apiVersion}
kind: EtlSource
metadata: {name: in, namespace: sim}
spec: {file: {path: a, format: jsonl}}
---
apiVersion: ${apiVersion}
kind: EtlSink
metadata: {name: out, namespace: sim}
spec: {file: {path: b, format: jsonl}}
---
apiVersion: ${apiVersion}
kind: EtlPipeline
metadata: {name: flow, namespace: sim}
spec:
  stages:
    - {name: in, sourceRef: {name: in}}
    - {name: out, sinkRef: {name: out}}
  edges: [{from: in, to: out}]
`;

/** To be done one after the other before all else, each until it is answered. */
export const setUp: readonly ((router: Router, options: ProposeOptions) => Promise<unknown>)[] = [
  async (router, options) => {
    const { outcomes, findings } = await router.objects.applyText(manifests, options);
    const error = outcomes.find((outcome) => outcome.error !== undefined)?.error;
    if (outcomes.length === 0) throw new Error(JSON.stringify(findings));
    if (error !== undefined) throw error;
  },
  (router, options) => {
    const info = { sidecarId, namespace, offers: ['connectors'], leaseTtlMs: 24 * 3600 * 1000 };
    return router.sidecars.register(info, [], options);
  },
  (router, options) =>
    router.groups.assignPartitions({ groupId, partitions: [...partitions] }, options),
];

export function drawTask(client: ClientState, { profile, random, kind }: Draw): Task {
  const isRead = random.next() < profile.readShare;
  const which = random.below(20);
  const key = random.below(profile.keys);
  const hasSession = random.below(4) > 0;
  if (kind === 'read' || (kind === undefined && isRead))
    return { kind: 'read', question: (questions[which % questions.length] as Ask)(client, key) };
  const write = draftWrite(client, { which, key, random, profile });
  return write === undefined
    ? { kind: 'read', question: assignment(client) }
    : { kind: 'write', hasSession, ...write };
}

interface WriteDraw {
  readonly which: number;
  readonly key: number;
  readonly random: Random;
  readonly profile: Profile;
}

/** Undefined: something has to be read first. */
function draftWrite(client: ClientState, draw: WriteDraw): Write | undefined {
  const { which, key, random } = draw;
  if (which < 7) return putObject(client, draw);
  if (which < 8) return deleteObject(client, key);
  if (which < 11) return registerService(key, random, draw.profile);
  if (which < 12) return deregisterService(key);
  const partition = partitions[key % partitions.length] as string;
  if (which < 14) return openLane(client, partition);
  if (which < 18) return commitPosition(client, { partition, random });
  return which < 19 ? joinGroup(client) : commitGroup(client, { partition, random });
}

function putObject(client: ClientState, { key, random, profile }: WriteDraw): Write {
  const name = `o${key}`;
  const isSwap = random.below(3) === 0;
  const path = `${`v${random.below(2 ** 31)}`.padEnd(12, 'a')}${'a'.repeat(profile.paddingBytes)}`;
  const manifest: Manifest = {
    apiVersion,
    kind: 'EtlSource',
    metadata: { name, namespace, labels: {}, annotations: {} },
    spec: { file: { path, format: 'jsonl' } },
  };
  const expectedVersion = isSwap ? (client.versions.get(name) ?? 0) : undefined;
  const put = { name: objectName(name), spec: shortened(path) };
  return {
    asks: {
      op: 'update',
      in: { ...put, ...(expectedVersion !== undefined && { ifVersion: expectedVersion }) },
    },
    send: async (router, options) => {
      try {
        const { outcome } = await router.objects.apply(manifest, { ...options, expectedVersion });
        return `${outcome}`;
      } catch (error) {
        // It was applied, and somebody else was faster to delete it.
        if ((error as Error).message.endsWith('was deleted meanwhile')) return undefined;
        throw error;
      }
    },
    tell: ({ outcome }) => {
      if (outcome.case !== 'putObject') return `${outcome.case}`;
      const { created, changed } = outcome.value;
      return created ? 'created' : changed ? 'configured' : 'unchanged';
    },
    done: ({ outcome }) => {
      if (outcome.case === 'putObject')
        client.versions.set(name, Number(outcome.value.resourceVersion));
      else client.versions.delete(name);
    },
  };
}

function deleteObject(client: ClientState, key: number): Write {
  const name = `o${key}`;
  return {
    asks: { op: 'delete', in: { name: objectName(name) } },
    send: async (router, options) => {
      const object = { kind: 'EtlSource', namespace, name } as const;
      const { droppedLanes } = await router.objects.delete(object, options);
      return `${droppedLanes}`;
    },
    tell: ({ outcome }) =>
      outcome.case === 'droppedLanes' ? `${outcome.value.lanes}` : `${outcome.case}`,
    done: () => client.versions.delete(name),
  };
}

function registerService(key: number, random: Random, { leaseMs }: Profile): Write {
  const info = {
    ...{ serviceId: `s${key}`, name: `service${key}`, namespace, type: 'source' as const },
    endpoint: { host: '10.0.0.1', port: 1000 + key, tls: false },
    version: `${random.below(2 ** 31)}`,
    leaseTtlMs: leaseMs,
  };
  return {
    send: async (router, options) =>
      `${(await router.registry.register(info, options)).registrationId}`,
    tell: ({ outcome }) =>
      outcome.case === 'registration' ? `${outcome.value.registrationId}` : `${outcome.case}`,
  };
}

/** One that is not there is no error: of that the answer says nothing. */
function deregisterService(key: number): Write {
  return {
    send: async (router, options) => {
      await router.registry.deregister({ serviceId: `s${key}` }, options);
      return undefined;
    },
    tell: () => '',
  };
}

function openLane(client: ClientState, partition: string): Write | undefined {
  const { planVersion } = client;
  if (planVersion === undefined) return undefined;
  const lanes = [{ source: 'in', partition }];
  return {
    counts: 'epochs',
    asks: { op: 'acquireEpoch', in: { lane: laneName(partition) } },
    send: async (router, options) => {
      const request = { pipelineId, sidecarId, planVersion, lanes };
      const [lane] = await router.positions.openLanes(request, options);
      return `${lane?.epoch} ${hex(lane?.position)}`;
    },
    tell: ({ outcome }) => {
      if (outcome.case !== 'openLanes') return `${outcome.case}`;
      const [lane] = outcome.value.lanes;
      return `${lane?.epoch} ${hex(lane?.position)}`;
    },
    done: ({ outcome }) => {
      if (outcome.case === 'openLanes')
        client.epochs.set(partition, Number(outcome.value.lanes[0]?.epoch));
      else client.planVersion = undefined;
    },
  };
}

function commitPosition(
  client: ClientState,
  { partition, random }: { readonly partition: string; readonly random: Random },
): Write | undefined {
  const epoch = client.epochs.get(partition);
  if (epoch === undefined) return openLane(client, partition);
  const lane = { pipeline: pipelineId, source: 'in', partition };
  const position = positionOf(client, random);
  return {
    counts: 'positions',
    asks: {
      op: 'commitPosition',
      in: { lane: laneName(partition), epoch, position: hex(position) },
    },
    send: async (router, options) => {
      const refused = await router.positions.commit([{ lane, epoch, position }], options);
      return refused.map(({ code, currentEpoch }) => `${code} ${currentEpoch}`).join();
    },
    tell: ({ outcome }) => {
      if (outcome.case !== 'commit') return `${outcome.case}`;
      return outcome.value.refused.map(({ code, epoch }) => `${code} ${epoch}`).join();
    },
    done: ({ outcome }) => {
      const [refused] = outcome.case === 'commit' ? outcome.value.refused : [];
      if (refused?.code === 'ETL_FENCED') client.epochs.delete(partition);
    },
  };
}

function joinGroup(client: ClientState): Write {
  return {
    send: async (router, options) => {
      const member = { groupId, memberId: `c${client.number}` };
      const { generation, partitions: owned } = await router.groups.join(member, options);
      return `${generation} ${owned.join()}`;
    },
    tell: ({ outcome }) => {
      if (outcome.case !== 'group') return `${outcome.case}`;
      return `${outcome.value.generation} ${outcome.value.partitions.join()}`;
    },
    done: ({ outcome }) => {
      if (outcome.case === 'group') client.generation = Number(outcome.value.generation);
    },
  };
}

function commitGroup(
  client: ClientState,
  { partition, random }: { readonly partition: string; readonly random: Random },
): Write {
  const { generation } = client;
  if (generation === undefined) return joinGroup(client);
  const position = positionOf(client, random);
  const positions = [{ source: 'in', partition, position }];
  return {
    counts: 'positions',
    asks: {
      op: 'commitGroupPosition',
      in: { partition: groupPartition(partition), generation, position: hex(position) },
    },
    send: async (router, options) => {
      const commit = { groupId, memberId: `c${client.number}`, generation, positions };
      const refused = await router.groups.commit(commit, options);
      return refused.map(({ code }) => code).join();
    },
    tell: ({ outcome }) =>
      outcome.case === 'commit'
        ? outcome.value.refused.map(({ code }) => code).join()
        : `${outcome.case}`,
    done: ({ outcome }) => {
      if (outcome.case === 'refusal') client.generation = undefined;
    },
  };
}

type Ask = (client: ClientState, key: number) => Question;

/** Of each the last answer is remembered by nobody: what is read is compared, and that is all. */
const questions: readonly Ask[] = [
  (client, key) => object(client, key),
  (_client, key) => service(key),
  (client, key) => object(client, key),
  () => lanes,
  () => groupPositions,
  (client) => assignment(client),
];

function object({ versions }: ClientState, key: number): Question {
  const name = `o${key}`;
  return {
    name,
    look: ({ objects }) => {
      const found = objects.get({ kind: 'EtlSource', namespace, name });
      if (found === undefined) versions.delete(name);
      else versions.set(name, found.resourceVersion);
      return describeObject(found);
    },
    expect: (truth, index) => {
      const row = truth.rowAt('objects', objectKey('EtlSource', namespace, name), index);
      return describeObject(row === undefined ? undefined : toRouterObject(row));
    },
    history: {
      asks: [{ op: 'get', in: { name: objectName(name) } }],
      tell: (seen) => {
        const [version, spec = ''] = seen.split(' ');
        return [seen === 'none' ? { error: 'notFound' } : { version: Number(version), spec }];
      },
    },
  };
}

function describeObject(found: RouterObject | undefined): string {
  if (found === undefined) return 'none';
  const { path } = found.manifest.spec['file'] as { readonly path: string };
  return `${found.resourceVersion} ${shortened(path)}`;
}

function service(key: number): Question {
  const name = `s${key}`;
  return {
    name,
    look: ({ registry }) => {
      const found = registry.get(name);
      if (found === undefined) return 'none';
      return `${found.registrationId} ${found.health} ${found.version}`;
    },
    expect: (truth, index) => {
      const row = truth.rowAt('services', name, index);
      if (row === undefined) return 'none';
      const { registrationId, health, description } = row;
      return `${registrationId} ${fromStoredHealth(health)} ${description?.version}`;
    },
  };
}

const lanes: Question = {
  name: 'lanes',
  look: ({ positions }) =>
    positions
      .list(pipelineId)
      .map(({ lane, epoch, position }) => `${lane.partition}:${epoch}:${hex(position)}`)
      .join(),
  expect: (truth, index) =>
    partitions
      .flatMap((partition) => {
        const lane = { source: 'in', partition };
        const row = truth.rowAt('lanes', laneRowKey(pipelineId, lane), index);
        return row === undefined ? [] : [`${partition}:${row.epoch}:${hex(row.position)}`];
      })
      .join(),
  history: {
    asks: partitions.map((partition) => ({ op: 'getLane', in: { lane: laneName(partition) } })),
    tell: (seen) =>
      fieldsOf(seen).map((lane) => {
        if (lane === undefined) return { error: 'notFound' };
        const [epoch, position = ''] = lane;
        return { epoch: Number(epoch), position };
      }),
  },
};

const groupPositions: Question = {
  name: 'group positions',
  look: ({ groups }) => {
    if (groups.get(groupId) === undefined) return '';
    const held = groups.positions(groupId);
    return held.map(({ partition, position }) => `${partition}:${hex(position)}`).join();
  },
  expect: (truth, index) =>
    partitions
      .flatMap((partition) => {
        const row = truth.rowAt('groupPositions', joinKey(groupId, 'in', partition), index);
        const at = row?.position;
        return at === undefined ? [] : [`${partition}:${hex(at.position)}`];
      })
      .join(),
  history: {
    asks: partitions.map((partition) => {
      return { op: 'getGroupPosition', in: { partition: groupPartition(partition) } };
    }),
    tell: (seen) =>
      fieldsOf(seen).map((held) => {
        return held === undefined ? { error: 'notFound' } : { position: held[0] ?? '' };
      }),
  },
};

/** Reads the plan that lanes are opened under. */
function assignment(client: ClientState): Question {
  return {
    name: 'assignment',
    look: ({ sidecars }) => {
      client.planVersion = sidecars.assignment(pipelineId)?.planVersion;
      return `${client.planVersion}`;
    },
    expect: (truth, index) => {
      const planVersion = truth.rowAt('assignments', pipelineId, index)?.planVersion;
      return `${planVersion}`;
    },
  };
}

/** Mostly further than the ones before. */
function positionOf({ requests }: ClientState, random: Random): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(random.below(8) === 0 ? random.below(requests + 1) : requests);
  return bytes;
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex');
}

/** What a list of `partition:field:field` says of each partition; undefined where it says nothing. */
function fieldsOf(list: string): readonly (readonly string[] | undefined)[] {
  const rows = list.split(',').map((row) => row.split(':'));
  return partitions.map((partition) => rows.find(([name]) => name === partition)?.slice(1));
}

/** What tells one path from another. */
function shortened(path: string): string {
  return path.slice(0, 12);
}

function objectName(name: string): string {
  return `EtlSource/${namespace}/${name}`;
}

function laneName(partition: string): string {
  return `${pipelineId}/in/${partition}`;
}

function groupPartition(partition: string): string {
  return `${groupId}/in/${partition}`;
}
