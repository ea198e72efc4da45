// The router's own state machine as the sequential system of generated histories: what the models claim that may be
// answered is held against what is answered.

import { type CommandResult, StoredPipelineState } from '@etl-router/proto';
import { laneRowKey, objectKey } from '../src/state/keys.ts';
import { StateMachine } from '../src/state/machine.ts';
import { type CommandBody, decodeResult, encodeProposal } from '../src/state/proposal.ts';
import { joinKey } from '../src/state/table.ts';
import { type Answer, answerOf, type Request, toHex } from './answers.ts';
import type { Operations } from './operations.ts';

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
    const { outcome } = this.#ask({
      case: 'assignPipeline',
      value: { ...plan, previousVersion: 0n, pipelineJson: spec },
    });
    if (outcome.case === 'assignPipeline') this.#planVersion = outcome.value.planVersion;
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
    switch (request.op) {
      case 'create':
        return this.#write(request, { ...request.in, ifVersion: 0 });
      case 'update':
        return this.#write(request, request.in);
      case 'delete': {
        const { name, ifVersion } = request.in;
        const value = { ...nameOf(name), ...expecting(ifVersion) };
        return answerOf(request, this.#ask({ case: 'deleteObject', value }));
      }
      case 'get':
      case 'getStale': {
        const object = this.#object(request.in.name);
        const seen = request.op === 'getStale' ? { revision: this.revision } : {};
        if (object === undefined) return { error: 'notFound', ...seen };
        const spec = Buffer.from(object.spec).toString();
        return { version: Number(object.resourceVersion), spec, ...seen };
      }
      case 'acquireEpoch': {
        const lanes = [laneOf(request.in.lane)];
        const value = { pipeline, sidecarId, planVersion: this.#planVersion, lanes };
        return answerOf(request, this.#ask({ case: 'openLanes', value }));
      }
      case 'commitPosition': {
        const { lane, epoch, position } = request.in;
        const item = {
          ...{ lane: { pipeline, ...laneOf(lane) }, epoch: BigInt(epoch) },
          position: Buffer.from(position, 'hex'),
        };
        return answerOf(request, this.#ask({ case: 'commitPositions', value: { items: [item] } }));
      }
      case 'getLane': {
        const lane = this.#lane(request.in.lane);
        if (lane === undefined) return { error: 'notFound' };
        return { epoch: Number(lane.epoch), position: toHex(lane.position) };
      }
      case 'commitGroupPosition':
        return this.#commitGroup(request);
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

  #write(request: Request, input: Operations['update']['in']): Answer {
    const { kind, name } = nameOf(input.name);
    const spec = Buffer.from(input.spec);
    return answerOf(request, this.#put({ kind, name, spec, ...expecting(input.ifVersion) }));
  }

  #commitGroup(request: Extract<Request, { op: 'commitGroupPosition' }>): Answer {
    const [groupId, source, partition] = partitionOf(request.in.partition);
    const position = Buffer.from(request.in.position, 'hex');
    const value = {
      ...{ groupId, memberId: member, generation: BigInt(request.in.generation) },
      positions: [{ source, partition, position }],
    };
    return answerOf(request, this.#ask({ case: 'commitGroupPositions', value }));
  }

  #put(object: {
    readonly kind: string;
    readonly name: string;
    readonly spec: Uint8Array;
    readonly expectedVersion?: bigint;
  }): CommandResult {
    const pipelineState =
      object.kind === 'EtlPipeline' ? StoredPipelineState.RUNNING : StoredPipelineState.UNSPECIFIED;
    return this.#ask({
      case: 'putObject',
      value: { ...object, namespace: 'default', pipelineState },
    });
  }

  #ask(body: CommandBody): CommandResult {
    this.#timeNs += 1000n;
    const stamps = { proposedAtNs: this.#timeNs, uid: `uid-${this.#timeNs}` };
    return decodeResult(this.#machine.apply(encodeProposal(body, stamps)).result);
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
