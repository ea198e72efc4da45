// A sink behind gRPC. What a service that is not durable answered counts when its Flush is answered too. Records of types
// that the service does not take, or larger than a message it takes, fail without being sent.

import {
  type BatchPreference,
  comparePositions,
  isEtlError,
  type Lane,
  type RecordBatch,
  type RecordFailure,
  type Sink,
  type SinkCapabilities,
  type SinkLaneState,
  type StageContext,
  type WriteResult,
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
  checkContext,
  deadlineOf,
  firstAnswer,
  type GrpcTarget,
  toStageMessage,
} from './connection.ts';
import { MessageLimit } from './message-limit.ts';

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
  readonly #limit: MessageLimit;
  #flushes: boolean;

  private constructor(target: GrpcTarget, client: Client, answer: Answer) {
    this.#target = target;
    this.#client = client;
    this.capabilities = toSinkCapabilities(answer as never);
    const wish = toBatchPreference(answer.batch as never, usualBatch);
    this.#limit = new MessageLimit(target, answer.maxMessageBytes);
    this.batch = { ...wish, maxBytes: Math.min(wish.maxBytes, this.#limit.recordsBytes) };
    this.#flushes = !answer.durable;
    this.#types = new Set(answer.recordTypes);
  }

  /** Asks the service what it can promise. Throws ETL_UNAVAILABLE while it is away. */
  static async connect(target: GrpcTarget): Promise<GrpcSink> {
    const client = createClient(rawService(SinkService), target.address, target.credentials, {
      statusOverrides: { FAILED_PRECONDITION: 'ETL_FENCED' },
    });
    try {
      const answer = await firstAnswer(target, () =>
        client.getCapabilities(
          { stage: toStageMessage(target) },
          { deadlineMs: deadlineOf(target, 'capabilities') },
        ),
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
      { deadlineMs: deadlineOf(this.#target, 'openLane') },
    );
    return { position: toPosition(answer.position, `position of stage ${this.#target.stage}`) };
  }

  async write(batch: RecordBatch, signal: AbortSignal): Promise<WriteResult> {
    const failures: RecordFailure[] = [];
    const parts = this.#parts(batch, failures);
    const { transactionalPosition } = this.capabilities;
    let isStored = false;
    for (const part of parts) {
      // A position that is stored says that all before it was dealt with: nothing may be stored behind a failure.
      if (transactionalPosition && failures.length > 0) break;
      const failed = await this.#send(batch, part, signal);
      isStored ||= failed.length < part.length;
      failures.push(...failed);
    }
    if (isStored && this.#flushes) await this.#flush(signal);
    return { failures: failures.toSorted((a, b) => a.index - b.index) };
  }

  async complete(): Promise<void> {
    await this.#client.complete(
      { stage: toStageMessage(this.#target) },
      { deadlineMs: deadlineOf(this.#target, 'complete') },
    );
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  /**
   * The indexes of the records that are sent, in requests that the service takes; what is not sent is added to
   * `failures`. Records of one position are in one request.
   */
  #parts(batch: RecordBatch, failures: RecordFailure[]): readonly (readonly number[])[] {
    const parts: number[][] = [];
    let room = 0;
    for (let start = 0, end: number; start < batch.count; start = end) {
      const group: number[] = [];
      let bytes = 0;
      for (end = start; end < batch.count && isSamePosition(batch, start, end); end++) {
        const type = batch.type(end);
        if (this.#types.size > 0 && !this.#types.has(type)) {
          failures.push(this.#refusal(end, type));
          continue;
        }
        group.push(end);
        bytes += this.#limit.sizeOf(batch, end);
      }
      if (bytes > this.#limit.recordsBytes) {
        failures.push(...group.map((index) => this.#limit.refuse(index, bytes)));
        continue;
      }
      if (group.length === 0) continue;
      if (bytes > room) {
        parts.push([]);
        room = this.#limit.recordsBytes;
      }
      room -= bytes;
      (parts.at(-1) as number[]).push(...group);
    }
    return parts;
  }

  /** Writes one part; gives its failures by their index in `batch`. */
  async #send(
    batch: RecordBatch,
    indexes: readonly number[],
    signal: AbortSignal,
  ): Promise<RecordFailure[]> {
    const part = indexes.length === batch.count ? batch : batch.select(indexes);
    const answer = await this.#client.writeBatch(
      { stage: toStageMessage(this.#target), batch: part.toBytes() },
      { signal, deadlineMs: deadlineOf(this.#target, 'write') },
    );
    return toRecordFailures(answer.failures as never, part.count).map((failure) => ({
      ...failure,
      index: indexes[failure.index] as number,
    }));
  }

  /** Makes durable what was written; a service without Flush has nothing to make durable. */
  async #flush(signal: AbortSignal): Promise<void> {
    try {
      await this.#client.flush(
        { stage: toStageMessage(this.#target) },
        { signal, deadlineMs: deadlineOf(this.#target, 'flush') },
      );
    } catch (error) {
      if (!isEtlError(error) || error.code !== 'ETL_UNSUPPORTED') throw error;
      this.#flushes = false;
    }
  }

  #refusal(index: number, type: string): RecordFailure {
    const message = `stage ${this.#target.stage} takes no records of type ${JSON.stringify(type)}`;
    return { index, code: 'TYPE_NOT_TAKEN', message, retryable: false };
  }
}

function isSamePosition(batch: RecordBatch, a: number, b: number): boolean {
  return a === b || comparePositions(batch.position(a), batch.position(b)) === 0;
}
