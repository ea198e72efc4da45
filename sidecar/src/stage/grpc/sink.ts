// A sink behind gRPC. An answer to a write is as good as the service's word that it is durable: its capabilities say so.
// Records of types that the service does not take fail without being sent.

import type {
  BatchPreference,
  Lane,
  RecordBatch,
  RecordFailure,
  Sink,
  SinkCapabilities,
  SinkLaneState,
  StageContext,
  WriteResult,
} from '@etl-router/core';
import {
  fromLane,
  toBatchPreference,
  toPosition,
  toRecordFailures,
  toSinkCapabilities,
} from '@etl-router/proto';
import { createClient, type GrpcClient, type RawService, rawService } from '@etl-router/proto/grpc';
import { SinkService } from '@etl-router/proto/sink';
import {
  batchMaxBytes,
  checkContext,
  deadlinesMs,
  type GrpcTarget,
  toStageMessage,
} from './connection.ts';

type Client = GrpcClient<RawService<typeof SinkService>>;
type Answer = Awaited<ReturnType<Client['getCapabilities']>>;

/** What a service gets that has no wish. */
const usualBatch: BatchPreference = { maxRecords: 1000, maxBytes: 1024 * 1024, maxWaitMs: 50 };

/** A user's SinkService as a stage. */
export class GrpcSink implements Sink {
  readonly capabilities: SinkCapabilities;
  readonly batch: BatchPreference;
  readonly #target: GrpcTarget;
  readonly #client: Client;
  readonly #types: ReadonlySet<string>;

  private constructor(target: GrpcTarget, client: Client, answer: Answer) {
    this.#target = target;
    this.#client = client;
    this.capabilities = toSinkCapabilities(answer as never);
    const wish = toBatchPreference(answer.batch as never, usualBatch);
    this.batch = { ...wish, maxBytes: Math.min(wish.maxBytes, batchMaxBytes) };
    this.#types = new Set(answer.recordTypes);
  }

  /** Asks the service what it can promise. Throws ETL_UNAVAILABLE while it is away. */
  static async connect(target: GrpcTarget): Promise<GrpcSink> {
    const client = createClient(rawService(SinkService), target.address, target.credentials, {
      statusOverrides: { FAILED_PRECONDITION: 'ETL_FENCED' },
    });
    try {
      const answer = await client.getCapabilities(
        { stage: toStageMessage(target) },
        { deadlineMs: deadlinesMs.capabilities },
      );
      return new GrpcSink(target, client, answer);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async open(context: StageContext): Promise<void> {
    checkContext(this.#target, context);
  }

  async openLane(lane: Lane, epoch: number): Promise<SinkLaneState> {
    const answer = await this.#client.openLane(
      { stage: toStageMessage(this.#target), lane: fromLane(lane) as never, epoch: BigInt(epoch) },
      { deadlineMs: deadlinesMs.openLane },
    );
    return { position: toPosition(answer.position, `position of stage ${this.#target.stage}`) };
  }

  async write(batch: RecordBatch, signal: AbortSignal): Promise<WriteResult> {
    const taken: number[] = [];
    const failures: RecordFailure[] = [];
    for (let index = 0; index < batch.count; index++) {
      if (this.#types.size === 0 || this.#types.has(batch.type(index))) taken.push(index);
      else failures.push(this.#refusal(index, batch.type(index)));
    }
    if (taken.length === 0) return { failures };
    const part = failures.length === 0 ? batch : batch.select(taken);
    const answer = await this.#client.writeBatch(
      { stage: toStageMessage(this.#target), batch: part.toBytes() },
      { signal, deadlineMs: deadlinesMs.write },
    );
    for (const failure of toRecordFailures(answer.failures as never, part.count))
      failures.push({ ...failure, index: taken[failure.index] as number });
    return { failures: failures.toSorted((a, b) => a.index - b.index) };
  }

  async complete(): Promise<void> {
    await this.#client.complete(
      { stage: toStageMessage(this.#target) },
      { deadlineMs: deadlinesMs.complete },
    );
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #refusal(index: number, type: string): RecordFailure {
    const message = `stage ${this.#target.stage} takes no records of type ${JSON.stringify(type)}`;
    return { index, code: 'TYPE_NOT_TAKEN', message, retryable: false };
  }
}
