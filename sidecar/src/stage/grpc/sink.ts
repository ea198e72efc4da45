// A sink behind gRPC. An answer to a write is as good as the service's word that it is durable: its capabilities say so.

import type {
  BatchPreference,
  Lane,
  RecordBatch,
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
import { checkContext, deadlinesMs, type GrpcTarget, toStageMessage } from './connection.ts';

type Client = GrpcClient<RawService<typeof SinkService>>;

/** What a service gets that has no wish. */
const usualBatch: BatchPreference = { maxRecords: 1000, maxBytes: 1024 * 1024, maxWaitMs: 50 };

/** A user's SinkService as a stage. */
export class GrpcSink implements Sink {
  readonly capabilities: SinkCapabilities;
  readonly batch: BatchPreference;
  readonly #target: GrpcTarget;
  readonly #client: Client;

  private constructor(parts: {
    readonly target: GrpcTarget;
    readonly client: Client;
    readonly capabilities: SinkCapabilities;
    readonly batch: BatchPreference;
  }) {
    this.#target = parts.target;
    this.#client = parts.client;
    this.capabilities = parts.capabilities;
    this.batch = parts.batch;
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
      return new GrpcSink({
        target,
        client,
        capabilities: toSinkCapabilities(answer as never),
        batch: toBatchPreference(answer.batch as never, usualBatch),
      });
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
    const { failures } = await this.#client.writeBatch(
      { stage: toStageMessage(this.#target), batch: batch.toBytes() },
      { signal, deadlineMs: deadlinesMs.write },
    );
    return { failures: toRecordFailures(failures as never, batch.count) };
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
}
