// A transform behind gRPC: ProcessBatch calls, cut to what the service wants in one batch and at once. Records of types
// that it does not handle are never sent; they go on unchanged. One larger than a message it takes fails unsent.

import {
  EtlError,
  type RecordBatch,
  type RecordFailure,
  type StageContext,
  type Transform,
  type TransformCapabilities,
  type TransformResult,
} from '@etl-router/core';
import { fromFailure, toTransformCapabilities, toTransformResult } from '@etl-router/proto';
import {
  createClient,
  type GrpcClient,
  type Raw,
  type RawService,
  rawService,
} from '@etl-router/proto/grpc';
import { type RecordResult, RecordStatus, TransformService } from '@etl-router/proto/transform';
import {
  checkContext,
  deadlineOf,
  firstAnswer,
  type GrpcTarget,
  toStageMessage,
} from './connection.ts';
import { Gate } from './gate.ts';
import { MessageLimit } from './message-limit.ts';

type Client = GrpcClient<RawService<typeof TransformService>>;
type Answer = Awaited<ReturnType<Client['getCapabilities']>>;

const recordsMax = 1_000_000;
const concurrentMax = 64;

/** What becomes of a record that the service does not handle. */
const passedBy = {
  status: RecordStatus.OK,
  outputs: [],
  failure: undefined,
} as unknown as Raw<RecordResult>;

/** A user's TransformService as a stage. */
export class GrpcTransform implements Transform {
  readonly capabilities: TransformCapabilities;
  readonly #target: GrpcTarget;
  readonly #client: Client;
  readonly #maxRecords: number;
  readonly #maxBytes: number;
  readonly #limit: MessageLimit;
  readonly #types: ReadonlySet<string>;
  readonly #gate: Gate;

  private constructor(target: GrpcTarget, client: Client, answer: Answer) {
    this.#target = target;
    this.#client = client;
    this.capabilities = toTransformCapabilities(answer as never);
    this.#maxRecords = Math.min(answer.maxBatchRecords || recordsMax, recordsMax);
    this.#limit = new MessageLimit(target, answer.maxMessageBytes);
    const { recordsBytes } = this.#limit;
    this.#maxBytes = Math.min(answer.maxBatchBytes || recordsBytes, recordsBytes);
    this.#types = new Set(answer.recordTypes);
    this.#gate = new Gate(Math.min(answer.maxConcurrentBatches || 1, concurrentMax));
  }

  /** Asks the service what it can promise. Throws ETL_UNAVAILABLE while it is away. */
  static async connect(target: GrpcTarget): Promise<GrpcTransform> {
    const client = createClient(rawService(TransformService), target.address, target.credentials);
    try {
      const answer = await firstAnswer(target, () =>
        client.getCapabilities(
          { stage: toStageMessage(target) },
          { deadlineMs: deadlineOf(target, 'capabilities') },
        ),
      );
      return new GrpcTransform(target, client, answer);
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async open(context: StageContext): Promise<void> {
    checkContext(this.#target, context);
  }

  async process(batch: RecordBatch, signal: AbortSignal): Promise<TransformResult> {
    const results = Array.from({ length: batch.count }, () => passedBy);
    for (const indexes of this.#parts(batch, results)) {
      const part = indexes.length === batch.count ? batch : batch.select(indexes);
      const answers = await this.#gate.run(() => this.#call(part, signal), signal);
      indexes.forEach((index, at) => {
        results[index] = answers[at] as Raw<RecordResult>;
      });
    }
    return toTransformResult(batch, results, this.#target.stage);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  /**
   * The indexes of the records that are sent, in batches the service likes; a batch of one may be larger than that. What
   * fits into no message has its result at once.
   */
  *#parts(batch: RecordBatch, results: Raw<RecordResult>[]): Generator<readonly number[], void> {
    let part: number[] = [];
    let bytes = 0;
    for (let index = 0; index < batch.count; index++) {
      if (this.#types.size > 0 && !this.#types.has(batch.type(index))) continue;
      const size = this.#limit.sizeOf(batch, index);
      if (size > this.#limit.recordsBytes) {
        results[index] = failed(this.#limit.refuse(index, size));
        continue;
      }
      if (part.length >= this.#maxRecords || (part.length > 0 && bytes + size > this.#maxBytes)) {
        yield part;
        part = [];
        bytes = 0;
      }
      part.push(index);
      bytes += size;
    }
    if (part.length > 0) yield part;
  }

  async #call(batch: RecordBatch, signal: AbortSignal): Promise<Raw<RecordResult>[]> {
    const { results } = await this.#client.processBatch(
      { stage: toStageMessage(this.#target), batch: batch.toBytes() },
      { signal, deadlineMs: deadlineOf(this.#target, 'process') },
    );
    if (results.length === batch.count) return results;
    throw new EtlError(
      'ETL_CONNECTOR_FAILED',
      `stage ${this.#target.stage} answered ${results.length} results for ${batch.count} records`,
      { retryable: false },
    );
  }
}

function failed(failure: RecordFailure): Raw<RecordResult> {
  return {
    status: RecordStatus.ERROR,
    outputs: [],
    failure: fromFailure(failure),
  } as unknown as Raw<RecordResult>;
}
