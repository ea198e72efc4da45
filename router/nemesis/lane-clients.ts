// Clients of lanes in a run: they take lanes over from each other and commit positions under the epoch that they were
// told last, also when it is no longer the lane's. A commit under an older epoch than one that was answered must never
// be taken; the history shows it. All of them are one sidecar that was assigned one pipeline.

import { setTimeout as pause } from 'node:timers/promises';
import { type EtlError, type Random, seededRandom, toEtlError } from '@etl-router/core';
import type { Operations } from '../linearizability/operations.ts';
import type { Member } from './member.ts';
import { fateOf } from './requests.ts';
import type { Workload } from './workload.ts';

const clients = 4;
/** Numbers of these clients, above those of objects. */
const firstClient = 100;
const operationsPerSecond = 10;
const attemptMaxMs = 1500;
const setUpMaxMs = 15_000;
/** Longer than any run: nobody sends heartbeats. */
const leaseTtlMs = 3_600_000;
const namespace = 'lanes';
const pipeline = `${namespace}/flow`;
const source = 'in';
const sidecarId = `${namespace}/sidecar`;

const manifests: readonly object[] = [
  manifest('EtlSource', 'in', { file: { path: 'in.jsonl', format: 'jsonl' } }),
  manifest('EtlSink', 'out', { file: { path: 'out.jsonl', format: 'jsonl' } }),
  manifest('EtlPipeline', 'flow', {
    stages: [
      { name: source, sourceRef: { name: 'in' } },
      { name: 'out', sinkRef: { name: 'out' } },
    ],
    edges: [{ from: source, to: 'out' }],
  }),
];

function manifest(kind: string, name: string, spec: object): object {
  return { apiVersion: 'etl.router/v1', kind, metadata: { name, namespace }, spec };
}

/** What the sidecar has to name to open lanes. */
interface Holding {
  readonly registrationId: bigint;
  readonly planVersion: bigint;
}

type LaneOut = Operations['getLane']['out'];

export class LaneClients {
  readonly #workload: Workload;
  #holding: Holding | undefined;
  #registering: Promise<void> | undefined;
  #positions = 0;

  constructor(workload: Workload) {
    this.#workload = workload;
  }

  /** Makes the pipeline and has it assigned. */
  async prepare(): Promise<void> {
    const endMs = performance.now() + setUpMaxMs;
    for (const each of manifests)
      await insist(endMs, async () => {
        const { admin } = this.#anyMember();
        await admin.applyObject({ manifest: JSON.stringify(each) }, { deadlineMs: attemptMaxMs });
      });
    await this.#register(endMs);
  }

  async run(signal: AbortSignal): Promise<void> {
    const numbers = Array.from({ length: clients }, (_, at) => firstClient + at);
    await Promise.all(numbers.map((number) => new LaneClient(this, number).run(signal)));
  }

  get workload(): Workload {
    return this.#workload;
  }

  /** What to open lanes with; undefined while the pipeline is not assigned. */
  get holding(): Holding | undefined {
    return this.#holding;
  }

  /** The assignment is not the one that is held: asks for the present one, once for all clients. */
  renew(): Promise<void> {
    this.#registering ??= this.#register(performance.now() + attemptMaxMs)
      .catch(() => undefined)
      .finally(() => {
        this.#registering = undefined;
      });
    return this.#registering;
  }

  /** A position after all before it. */
  nextPosition(): number {
    this.#positions += 1;
    return this.#positions;
  }

  async #register(endMs: number): Promise<void> {
    await insist(endMs, async () => {
      const sidecar = {
        ...{ sidecarId, podName: 'sidecar', namespace, zone: '', endpoint: '', version: '1' },
        connectors: ['file'],
      };
      const { sidecars } = this.#anyMember();
      const { registrationId, assignments } = await sidecars.registerSidecar(
        { sidecar, leaseTtlMs },
        { deadlineMs: attemptMaxMs },
      );
      const assigned = assignments.find((each) => each.pipeline === pipeline);
      if (assigned === undefined) throw new Error(`${pipeline} is not assigned yet`);
      this.#holding = { registrationId, planVersion: assigned.planVersion };
    });
  }

  #turn = 0;

  #anyMember(): Member {
    const members = this.#workload.options.members();
    this.#turn += 1;
    return members[this.#turn % members.length] as Member;
  }
}

class LaneClient {
  readonly #shared: LaneClients;
  readonly #number: number;
  readonly #random: Random;
  /** Epochs as this client was told them, by lane. */
  readonly #epochs = new Map<string, number>();
  #target: number;

  constructor(shared: LaneClients, number: number) {
    this.#shared = shared;
    this.#number = number;
    this.#random = seededRandom(shared.workload.options.seed * 1000 + number);
    this.#target = number;
  }

  async run(signal: AbortSignal): Promise<void> {
    const periodMs = 1000 / operationsPerSecond;
    while (!signal.aborted) {
      const { laneNames } = this.#shared.workload;
      const lane = laneNames[this.#random.below(laneNames.length)] as string;
      const chance = this.#random.next();
      const epoch = this.#epochs.get(lane);
      if (epoch === undefined || chance < 0.15) await this.#acquire(lane);
      else if (chance < 0.3) await this.#look(lane);
      else await this.#commit(lane, epoch);
      await pause(periodMs * (0.5 + this.#random.next()));
    }
  }

  async #acquire(lane: string): Promise<void> {
    const { holding, workload } = this.#shared;
    if (holding === undefined) return await this.#shared.renew();
    const invocation = workload.recorder.invoke(this.#number, 'acquireEpoch', { lane });
    const lanes = [{ source, partition: partitionOf(lane) }];
    try {
      const { sidecars } = this.#member();
      const answer = await sidecars.openLanes(
        { sidecarId, pipeline, ...holding, lanes },
        { deadlineMs: attemptMaxMs },
      );
      const opened = answer.lanes[0];
      if (opened === undefined) throw new Error('no lane was opened');
      const epoch = Number(opened.epoch);
      this.#epochs.set(lane, epoch);
      invocation.answered({ epoch, position: hexOf(opened.position) });
      workload.done += 1;
    } catch (error) {
      const failure = this.#failed(error);
      if (isRefused(failure)) invocation.answered({ error: 'refused' });
      if (isRefused(failure) && isJudged(failure)) await this.#shared.renew();
    }
  }

  async #commit(lane: string, epoch: number): Promise<void> {
    const { workload } = this.#shared;
    const latest = this.#shared.nextPosition();
    const isBehind = this.#random.next() < 0.1;
    const position = Buffer.alloc(8);
    position.writeUInt32BE(isBehind ? Math.max(latest - 20, 1) : latest, 4);
    const input = { lane, epoch, position: hexOf(position) };
    const invocation = workload.recorder.invoke(this.#number, 'commitPosition', input);
    const item = {
      lane: { pipeline, source, partition: partitionOf(lane) },
      epoch: BigInt(epoch),
      position,
    };
    try {
      const { checkpoints } = this.#member();
      const answer = await checkpoints.commitPositions(
        { items: [item] },
        { deadlineMs: attemptMaxMs },
      );
      const [refused] = answer.refused;
      invocation.answered(refused === undefined ? {} : refusalOf(refused));
      workload.done += 1;
      // Whoever was fenced goes on under the old epoch now and then: it has to be refused again.
      if (refused?.code === 'ETL_FENCED' && this.#random.next() < 0.7) this.#epochs.delete(lane);
    } catch (error) {
      if (isRefused(this.#failed(error))) invocation.answered({ error: 'refused' });
    }
  }

  async #look(lane: string): Promise<void> {
    const { workload } = this.#shared;
    const invocation = workload.recorder.invoke(this.#number, 'getLane', { lane });
    try {
      invocation.answered(await readLane(this.#member(), lane));
      workload.done += 1;
    } catch (error) {
      this.#failed(error);
      invocation.answered({ error: 'refused' });
    }
  }

  #member(): Member {
    const members = this.#shared.workload.options.members();
    return members[this.#target % members.length] as Member;
  }

  #failed(error: unknown): EtlError {
    this.#target += 1;
    return toEtlError(error);
  }
}

/** Where a lane is, as a member answers it. */
export async function readLane({ checkpoints }: Member, lane: string): Promise<LaneOut> {
  const partitions = [partitionOf(lane)];
  try {
    const { lanes } = await checkpoints.getPositions(
      { pipeline, source, partitions },
      { deadlineMs: attemptMaxMs },
    );
    const found = lanes[0]?.position;
    if (found === undefined) return { error: 'notFound' };
    return { epoch: Number(found.epoch), position: hexOf(found.position) };
  } catch (error) {
    if (toEtlError(error).code === 'ETL_NOT_FOUND') return { error: 'notFound' };
    throw error;
  }
}

/** A lane as histories name it. */
export function laneName(partition: string): string {
  return `${pipeline}/${source}/${partition}`;
}

function partitionOf(lane: string): string {
  return lane.slice(lane.lastIndexOf('/') + 1);
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** What the state machine itself refused was not done, and neither was what no log took. */
function isRefused(failure: EtlError): boolean {
  return fateOf(failure) === 'refused' || isJudged(failure);
}

function isJudged({ code, details }: EtlError): boolean {
  const codes = ['ETL_FENCED', 'ETL_NOT_FOUND', 'ETL_CONFLICT'];
  return details['outcome'] === undefined && codes.includes(code);
}

function refusalOf(refused: {
  readonly code: string;
  readonly currentEpoch: bigint;
  readonly currentPosition: Uint8Array;
}): Operations['commitPosition']['out'] {
  const at = { epoch: Number(refused.currentEpoch), position: hexOf(refused.currentPosition) };
  switch (refused.code) {
    case 'ETL_FENCED':
      return { error: 'fenced', ...at };
    case 'ETL_CONFLICT':
      return { error: 'conflict', ...at };
    case 'ETL_NOT_FOUND':
      return { error: 'notFound' };
    default:
      return { error: 'invalid', ...at };
  }
}

/** Tries again until it works or the time is over. */
async function insist(endMs: number, work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await pause(50);
    }
  }
}
