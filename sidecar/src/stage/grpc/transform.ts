// A transform behind gRPC: one ProcessBatch call a batch, cut to what the service wants at once.

import {
  BatchBuilder,
  EtlError,
  type RecordBatch,
  type RecordFailure,
  type StageContext,
  type Transform,
  type TransformCapabilities,
  type TransformResult,
} from '@etl-router/core';
import { toTransformCapabilities, toTransformResult } from '@etl-router/proto';
import { createClient, type GrpcClient, type RawService, rawService } from '@etl-router/proto/grpc';
import { TransformService } from '@etl-router/proto/transform';
import { checkContext, deadlinesMs, type GrpcTarget, toStageMessage } from './connection.ts';

type Client = GrpcClient<RawService<typeof TransformService>>;

/** A user's TransformService as a stage. */
export class GrpcTransform implements Transform {
  readonly capabilities: TransformCapabilities;
  readonly #target: GrpcTarget;
  readonly #client: Client;
  readonly #maxRecords: number;

  private constructor(parts: {
    readonly target: GrpcTarget;
    readonly client: Client;
    readonly capabilities: TransformCapabilities;
    readonly maxRecords: number;
  }) {
    this.#target = parts.target;
    this.#client = parts.client;
    this.capabilities = parts.capabilities;
    this.#maxRecords = parts.maxRecords;
  }

  /** Asks the service what it can promise. Throws ETL_UNAVAILABLE while it is away. */
  static async connect(target: GrpcTarget): Promise<GrpcTransform> {
    const client = createClient(rawService(TransformService), target.address, target.credentials);
    try {
      const answer = await client.getCapabilities(
        { stage: toStageMessage(target) },
        { deadlineMs: deadlinesMs.capabilities },
      );
      const capabilities = toTransformCapabilities(answer as never);
      return new GrpcTransform({
        target,
        client,
        capabilities,
        maxRecords: answer.maxBatchRecords || 1_000_000,
      });
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async open(context: StageContext): Promise<void> {
    checkContext(this.#target, context);
  }

  async process(batch: RecordBatch, signal: AbortSignal): Promise<TransformResult> {
    if (batch.count <= this.#maxRecords) return this.#call(batch, signal);
    const builder = new BatchBuilder(batch.byteLength);
    const failures: RecordFailure[] = [];
    for (let from = 0; from < batch.count; from += this.#maxRecords) {
      const part = batch.slice(from, Math.min(batch.count, from + this.#maxRecords));
      const result = await this.#call(part, signal);
      for (let index = 0; index < result.batch.count; index++)
        builder.appendFrom(result.batch, index);
      failures.push(
        ...result.failures.map((failure) => ({ ...failure, index: failure.index + from })),
      );
    }
    return { batch: builder.build(batch.header), failures };
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  async #call(batch: RecordBatch, signal: AbortSignal): Promise<TransformResult> {
    const { results } = await this.#client.processBatch(
      { stage: toStageMessage(this.#target), batch: batch.toBytes() },
      { signal, deadlineMs: deadlinesMs.process },
    );
    if (results === undefined) {
      throw new EtlError('ETL_CONNECTOR_FAILED', `stage ${this.#target.stage} gave no results`);
    }
    return toTransformResult(batch, results, this.#target.stage);
  }
}
