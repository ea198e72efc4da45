// The router's own state machine as the sequential system of generated histories: what the models claim that may be
// answered is held against what is answered.

import { EtlError } from '@etl-router/core';
import { type CommandResult, StoredPipelineState } from '@etl-router/proto';
import { laneRowKey, objectKey } from '../src/state/keys.ts';
import { StateMachine } from '../src/state/machine.ts';
import { acceptedResult, type CommandBody, encodeProposal } from '../src/state/proposal.ts';
import { joinKey } from '../src/state/table.ts';
import type { Operation, OperationName, Operations } from './operations.ts';

/** An operation that is about to be answered. */
export type Request = {
  readonly [Name in OperationName]: { readonly op: Name; readonly in: Operations[Name]['in'] };
}[OperationName];

type Answer = NonNullable<Operation['out']>;
type Written = CommandResult['outcome'];

const pipeline = 'default/orders';
const sidecarId = 'default/pod';
const member = 'reader-1';
const otherMember = 'reader-2';

export class ReferenceSystem {
  readonly #machine = new StateMachine();
  readonly #registers = new Map<number, number>();
  #planVersion = 0n;
  #timeNs = 0n;

  constructor() {
    const spec = Buffer.from('{}');
    this.#put({ kind: 'EtlPipeline', name: 'orders', spec });
    const description = { sidecarId, namespace: 'default', leaseTtlMs: 15_000 };
    this.#ask({ case: 'registerSidecar', value: { description } });
    const generation = 1n;
    const plan = { pipeline, sidecarId, generation, observedGeneration: generation };
    const assigned = this.#ask({
      case: 'assignPipeline',
      value: { ...plan, previousVersion: 0n, pipelineJson: spec },
    });
    if (assigned.case === 'assignPipeline') this.#planVersion = assigned.value.planVersion;
    this.#ask({ case: 'joinGroup', value: { groupId: 'readers', memberId: member } });
    const partitions = ['orders/0', 'orders/1', 'orders/2'];
    this.#ask({ case: 'assignPartitions', value: { groupId: 'readers', partitions } });
  }

  /** The revision of the whole state. */
  get revision(): number {
    return Number(this.#machine.tables.clock().revision);
  }

  /** A second member comes or goes, and the group's generation rises. */
  rebalance(): void {
    const value = { groupId: 'readers', memberId: otherMember };
    const members = this.#machine.tables.groups.get('readers')?.members ?? [];
    this.#ask({ case: members.length === 1 ? 'joinGroup' : 'leaveGroup', value });
  }

  get generation(): number {
    return Number(this.#machine.tables.groups.get('readers')?.generation ?? 0n);
  }

  versionOf(name: string): number {
    return Number(this.#object(name)?.resourceVersion ?? 0n);
  }

  epochOf(lane: string): number {
    return Number(this.#lane(lane)?.epoch ?? 0n);
  }

  /** Does what is asked and answers it. */
  answer(request: Request): Answer {
    try {
      return this.#answer(request);
    } catch (error) {
      return refusalOf(error, request);
    }
  }

  #answer(request: Request): Answer {
    switch (request.op) {
      case 'create':
        return this.#write({ ...request.in, ifVersion: 0 });
      case 'update':
        return this.#write(request.in);
      case 'delete': {
        const { name, ifVersion } = request.in;
        this.#ask({ case: 'deleteObject', value: { ...nameOf(name), ...expecting(ifVersion) } });
        return {};
      }
      case 'get':
      case 'getStale': {
        const object = this.#object(request.in.name);
        const seen = request.op === 'getStale' ? { revision: this.revision } : {};
        if (object === undefined) return { error: 'notFound', ...seen };
        const spec = Buffer.from(object.spec).toString();
        return { version: Number(object.resourceVersion), spec, ...seen };
      }
      case 'acquireEpoch':
        return this.#acquire(request.in.lane);
      case 'commitPosition':
        return this.#commit(request.in);
      case 'getLane': {
        const lane = this.#lane(request.in.lane);
        if (lane === undefined) return { error: 'notFound' };
        return { epoch: Number(lane.epoch), position: toHex(lane.position) };
      }
      case 'commitGroupPosition':
        return this.#commitGroup(request.in);
      case 'getGroupPosition': {
        const position = this.#groupPosition(request.in.partition);
        return position === undefined ? { error: 'notFound' } : { position: toHex(position) };
      }
      case 'writeRegister':
        this.#registers.set(request.in.register, request.in.value);
        return {};
      case 'swapRegister': {
        const { register, expected, value } = request.in;
        const done = this.#register(register) === expected;
        if (done) this.#registers.set(register, value);
        return { done, value: this.#register(register) };
      }
      case 'readRegister':
        return { value: this.#register(request.in.register) };
    }
  }

  #write(input: Operations['update']['in']): Answer {
    const { kind, name } = nameOf(input.name);
    const outcome = this.#put({
      ...{ kind, name, spec: Buffer.from(input.spec) },
      ...expecting(input.ifVersion),
    });
    if (outcome.case !== 'putObject') throw new Error(`a put was answered with ${outcome.case}`);
    return { version: Number(outcome.value.resourceVersion), changed: outcome.value.changed };
  }

  #acquire(lane: string): Answer {
    const outcome = this.#ask({
      case: 'openLanes',
      value: { pipeline, sidecarId, planVersion: this.#planVersion, lanes: [laneOf(lane)] },
    });
    const opened = outcome.case === 'openLanes' ? outcome.value.lanes[0] : undefined;
    if (opened === undefined) throw new Error(`lane ${lane} was not opened`);
    return { epoch: Number(opened.epoch), position: toHex(opened.position) };
  }

  #commit({ lane, epoch, position }: Operations['commitPosition']['in']): Answer {
    const bytes = Buffer.from(position, 'hex');
    const item = { lane: { pipeline, ...laneOf(lane) }, epoch: BigInt(epoch), position: bytes };
    const outcome = this.#ask({ case: 'commitPositions', value: { items: [item] } });
    const refused = outcome.case === 'commit' ? outcome.value.refused[0] : undefined;
    if (refused === undefined) return {};
    if (refused.code === 'ETL_NOT_FOUND') return { error: 'notFound' };
    const held = { epoch: Number(refused.epoch), position: toHex(refused.position) };
    if (refused.code === 'ETL_FENCED') return { error: 'fenced', ...held };
    return { error: refused.code === 'ETL_CONFLICT' ? 'conflict' : 'invalid', ...held };
  }

  #commitGroup({ partition, ...input }: Operations['commitGroupPosition']['in']): Answer {
    const [groupId, source, name] = partitionOf(partition);
    const position = { source, partition: name, position: Buffer.from(input.position, 'hex') };
    const generation = BigInt(input.generation);
    const outcome = this.#ask({
      case: 'commitGroupPositions',
      value: { groupId, memberId: member, generation, positions: [position] },
    });
    const refused = outcome.case === 'commit' ? outcome.value.refused[0] : undefined;
    if (refused === undefined) return {};
    return refused.code === 'ETL_FENCED'
      ? { error: 'fenced', generation: Number(refused.epoch) }
      : { error: 'conflict', position: toHex(refused.position) };
  }

  #put(object: {
    readonly kind: string;
    readonly name: string;
    readonly spec: Uint8Array;
    readonly expectedVersion?: bigint;
  }): Written {
    const pipelineState =
      object.kind === 'EtlPipeline' ? StoredPipelineState.RUNNING : StoredPipelineState.UNSPECIFIED;
    return this.#ask({
      case: 'putObject',
      value: { ...object, namespace: 'default', pipelineState },
    });
  }

  /** The answer of a command; throws its refusal. */
  #ask(body: CommandBody): Written {
    this.#timeNs += 1000n;
    const stamps = { proposedAtNs: this.#timeNs, uid: `uid-${this.#timeNs}` };
    return acceptedResult(this.#machine.apply(encodeProposal(body, stamps)).result).outcome;
  }

  #object(
    name: string,
  ): { readonly resourceVersion: bigint; readonly spec: Uint8Array } | undefined {
    const { kind, namespace, name: own } = nameOf(name);
    return this.#machine.tables.objects.get(objectKey(kind, namespace, own));
  }

  #lane(lane: string): { readonly epoch: bigint; readonly position: Uint8Array } | undefined {
    return this.#machine.tables.lanes.get(laneRowKey(pipeline, laneOf(lane)));
  }

  #groupPosition(partition: string): Uint8Array | undefined {
    const key = joinKey(...partitionOf(partition));
    return this.#machine.tables.groupPositions.get(key)?.position?.position;
  }

  #register(register: number): number {
    return this.#registers.get(register) ?? 0;
  }
}

/** A refusal of the state machine as the answer of the operation. */
function refusalOf(error: unknown, { op }: Request): Answer {
  if (!(error instanceof EtlError)) throw error;
  if (error.code === 'ETL_FENCED' && op === 'commitGroupPosition') return { error: 'fenced' };
  if (error.code === 'ETL_NOT_FOUND' && op === 'delete') return { error: 'notFound' };
  if (error.code === 'ETL_CONFLICT' && (op === 'create' || op === 'update' || op === 'delete')) {
    return { error: 'conflict', version: Number(error.details['found']) };
  }
  throw error;
}

function expecting(ifVersion: number | undefined): { expectedVersion?: bigint } {
  return ifVersion === undefined ? {} : { expectedVersion: BigInt(ifVersion) };
}

/** `kind/namespace/name` taken apart. */
function nameOf(name: string): { kind: string; namespace: string; name: string } {
  const [kind = '', namespace = '', own = ''] = name.split('/');
  return { kind, namespace, name: own };
}

/** `namespace/pipeline/source/partition` taken apart. */
function laneOf(lane: string): { source: string; partition: string } {
  const [source = '', partition = ''] = lane.slice(pipeline.length + 1).split('/');
  return { source, partition };
}

/** `group/source/partition` taken apart; the partition may have slashes. */
function partitionOf(partition: string): [group: string, source: string, partition: string] {
  const [group = '', source = '', ...rest] = partition.split('/');
  return [group, source, rest.join('/')];
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
