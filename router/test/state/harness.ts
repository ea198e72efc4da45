// What the tests of the state machine share: a machine that is spoken to in commands.

import assert from 'node:assert/strict';
import type { CommandResult } from '@etl-router/proto';
import { StoredPipelineState, StoredServiceType } from '@etl-router/proto';
import { type Applied, StateMachine } from '../../src/state/machine.ts';
import {
  type CommandBody,
  decodeResult,
  encodeProposal,
  type ProposalStamps,
} from '../../src/state/proposal.ts';
import type { Change } from '../../src/state/table.ts';

/** A machine with a clock that ticks a millisecond a command. */
export class Bench {
  readonly machine: StateMachine;
  nowNs = 1_700_000_000_000_000_000n;
  #uids = 0;

  constructor(machine: StateMachine = new StateMachine()) {
    this.machine = machine;
  }

  /** The entry of a command with fresh stamps. */
  entry(body: CommandBody, stamps: Partial<ProposalStamps> = {}): Uint8Array {
    this.nowNs += 1_000_000n;
    this.#uids += 1;
    return encodeProposal(body, { proposedAtNs: this.nowNs, uid: `uid-${this.#uids}`, ...stamps });
  }

  apply(body: CommandBody, stamps: Partial<ProposalStamps> = {}): Applied {
    return this.machine.apply(this.entry(body, stamps));
  }

  /** The answer of a command that must be accepted. */
  accept(body: CommandBody, stamps: Partial<ProposalStamps> = {}): CommandResult {
    const result = decodeResult(this.apply(body, stamps).result);
    if (result.outcome.case === 'refusal') assert.fail(result.outcome.value.message);
    return result;
  }

  /** The code of a command that must be refused and change nothing. */
  refuse(body: CommandBody, stamps: Partial<ProposalStamps> = {}): string {
    const { result, changes } = this.apply(body, stamps);
    const { outcome } = decodeResult(result);
    assert.equal(outcome.case, 'refusal', 'the command was accepted');
    if (stamps.request === undefined) assert.equal(changes.length, 0);
    return outcome.case === 'refusal' ? outcome.value.code : '';
  }

  /** A running pipeline `shop/orders` assigned to the sidecar `shop/pod`; its plan version. */
  withAssignment(): bigint {
    this.accept(putPipeline('orders'));
    this.accept(registerSidecar('shop/pod'));
    return this.assign('shop/pod');
  }

  assign(sidecarId: string, previousVersion = 0n): bigint {
    const { outcome } = this.accept({
      case: 'assignPipeline',
      value: {
        pipeline: 'shop/orders',
        sidecarId,
        generation: 1n,
        observedGeneration: 1n,
        previousVersion,
        pipelineJson: Buffer.from('{}'),
      },
    });
    assert(outcome.case === 'assignPipeline');
    return outcome.value.planVersion;
  }

  /** Opens lanes of stage `in` and returns their epoch. */
  open(planVersion: bigint, partitions: readonly string[], sidecarId = 'shop/pod'): bigint {
    const { outcome } = this.accept(openLanes(planVersion, partitions, sidecarId));
    assert(outcome.case === 'openLanes');
    return outcome.value.lanes[0]?.epoch ?? 0n;
  }
}

/** All changes, one by one. */
export function* eachChange(changes: Applied['changes']): Generator<Change> {
  for (const change of changes) {
    if ('many' in change) yield* change.many;
    else yield change;
  }
}

export function putPipeline(name: string, spec = '{}'): CommandBody {
  return {
    case: 'putObject',
    value: {
      kind: 'EtlPipeline',
      namespace: 'shop',
      name,
      spec: Buffer.from(spec),
      pipelineState: StoredPipelineState.RUNNING,
    },
  };
}

export function registerSidecar(sidecarId: string): CommandBody {
  return {
    case: 'registerSidecar',
    value: { description: { sidecarId, namespace: 'shop', leaseTtlMs: 15_000 } },
  };
}

export function registerService(serviceId: string, sidecarId = ''): CommandBody {
  return {
    case: 'registerService',
    value: {
      description: {
        serviceId,
        name: 'enrich',
        namespace: 'shop',
        type: StoredServiceType.TRANSFORM,
        endpoint: { host: '127.0.0.1', port: 50_060 },
        sidecarId,
        leaseTtlMs: 15_000,
      },
    },
  };
}

export function openLanes(
  planVersion: bigint,
  partitions: readonly string[],
  sidecarId = 'shop/pod',
): CommandBody {
  return {
    case: 'openLanes',
    value: {
      pipeline: 'shop/orders',
      sidecarId,
      planVersion,
      lanes: partitions.map((partition) => ({ source: 'in', partition })),
    },
  };
}

export function commit(
  partition: string,
  epoch: bigint,
  position: Uint8Array | readonly number[],
): CommandBody {
  return {
    case: 'commitPositions',
    value: {
      items: [
        {
          lane: { pipeline: 'shop/orders', source: 'in', partition },
          epoch,
          position: Uint8Array.from(position),
        },
      ],
    },
  };
}

/** The codes of a batch's refused items. */
export function refusedCodes(result: CommandResult): readonly string[] {
  assert(result.outcome.case === 'commit');
  return result.outcome.value.refused.map((item) => item.code);
}
