// A source behind gRPC. One stream a partition, read only within credit; a stream that breaks is opened again after the
// last record that came, so the engine sees an error to wait out and then goes on.

import {
  comparePositions,
  EtlError,
  type OpenPartitionRequest,
  type PartitionReader,
  type ReadRequest,
  type ReadResult,
  RecordBatch,
  type Source,
  type SourceCapabilities,
  type SourcePartition,
  type StageContext,
} from '@etl-router/core';
import { fromLane, toCount, toSourceCapabilities } from '@etl-router/proto';
import {
  createClient,
  type GrpcClient,
  MessageQueue,
  type RawService,
  rawService,
} from '@etl-router/proto/grpc';
import { SourceService } from '@etl-router/proto/source';
import {
  checkContext,
  deadlineOf,
  firstAnswer,
  type GrpcTarget,
  toStageMessage,
} from './connection.ts';

type Client = GrpcClient<RawService<typeof SourceService>>;
type Requests = Parameters<Client['pullRecords']>[0];
type Request = Requests extends AsyncIterable<infer Item> ? Item : never;
type Responses = ReturnType<Client['pullRecords']>;
type Response = Responses extends AsyncIterable<infer Item> ? Item : never;

const partitionsMax = 10_000;
const partitionNameMaxBytes = 1024;
const positionMaxBytes = 256;
/** The engine sets sequences. */
const noSequences = { firstSequence: 0, sequenceOffsets: undefined };

/** A user's SourceService as a stage. */
export class GrpcSource implements Source {
  readonly capabilities: SourceCapabilities;
  readonly #target: GrpcTarget;
  readonly #client: Client;

  private constructor(target: GrpcTarget, client: Client, capabilities: SourceCapabilities) {
    this.#target = target;
    this.#client = client;
    this.capabilities = capabilities;
  }

  /** Asks the service what it can promise. Throws ETL_UNAVAILABLE while it is away. */
  static async connect(target: GrpcTarget): Promise<GrpcSource> {
    const client = createClient(rawService(SourceService), target.address, target.credentials, {
      statusOverrides: { FAILED_PRECONDITION: 'ETL_FENCED' },
    });
    try {
      const answer = await firstAnswer(target, () =>
        client.getCapabilities(
          { stage: toStageMessage(target) },
          { deadlineMs: deadlineOf(target, 'capabilities') },
        ),
      );
      return new GrpcSource(target, client, toSourceCapabilities(answer as never));
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async open(context: StageContext): Promise<void> {
    checkContext(this.#target, context);
  }

  async partitions(signal: AbortSignal): Promise<readonly SourcePartition[]> {
    const { partitions } = await this.#client.listPartitions(
      { stage: toStageMessage(this.#target) },
      { signal, deadlineMs: deadlineOf(this.#target, 'partitions') },
    );
    const names = partitions.map(({ name }) => name);
    const bad = names.find(
      (name) => name === '' || Buffer.byteLength(name) > partitionNameMaxBytes,
    );
    if (bad !== undefined || names.length > partitionsMax || new Set(names).size !== names.length) {
      throw new EtlError(
        'ETL_CONNECTOR_FAILED',
        `stage ${this.#target.stage}: partitions need different names of 1 to ${partitionNameMaxBytes} bytes, at most ${partitionsMax}`,
        { retryable: false },
      );
    }
    return names.map((name) => ({ name }));
  }

  async openPartition(request: OpenPartitionRequest): Promise<PartitionReader> {
    return new GrpcReader(this.#target, this.#client, request);
  }

  async close(): Promise<void> {
    this.#client.close();
  }
}

/** An open stream and what was granted on it. */
interface Stream {
  readonly requests: MessageQueue<Request>;
  readonly responses: AsyncIterator<Response>;
  readonly stop: AbortController;
  receivedRecords: number;
  receivedBytes: number;
  grantedRecords: number;
  grantedBytes: number;
  /** The answer that is being waited for, kept when a reader gives up waiting. */
  pending: Promise<IteratorResult<Response>> | undefined;
}

class GrpcReader implements PartitionReader {
  readonly #target: GrpcTarget;
  readonly #client: Client;
  readonly #request: OpenPartitionRequest;
  #after: Uint8Array | undefined;
  #stream: Stream | undefined;
  #lag: { records?: number; bytes?: number } = {};
  #isAtEnd = false;
  /** Records that came and were not asked for yet. */
  #held: RecordBatch | undefined;

  constructor(target: GrpcTarget, client: Client, request: OpenPartitionRequest) {
    this.#target = target;
    this.#client = client;
    this.#request = request;
    this.#after = request.after;
  }

  async next(request: ReadRequest): Promise<ReadResult> {
    if (this.#held !== undefined) return this.#give(this.#held, request);
    if (this.#isAtEnd) return { kind: 'end' };
    this.#stream ??= this.#openStream();
    const stream = this.#stream;
    try {
      this.#grant(stream, request);
      stream.pending ??= stream.responses.next();
      const step = await untilAborted(stream.pending, request.signal);
      if (step === undefined) return { kind: 'idle' };
      stream.pending = undefined;
      if (step.done === true) {
        throw new EtlError(
          'ETL_UNAVAILABLE',
          `stage ${this.#target.stage} ended the stream without saying that it is at its end`,
        );
      }
      return this.#take(stream, step.value, request);
    } catch (error) {
      this.#closeStream();
      throw error;
    }
  }

  async acknowledge(position: Uint8Array): Promise<void> {
    const { lane, epoch } = this.#request;
    await this.#client.acknowledge(
      {
        stage: toStageMessage(this.#target),
        lane: fromLane(lane) as never,
        epoch: BigInt(epoch),
        position,
      },
      { deadlineMs: deadlineOf(this.#target, 'acknowledge') },
    );
  }

  lag(): { readonly records?: number; readonly bytes?: number } {
    return this.#lag;
  }

  async close(): Promise<void> {
    this.#closeStream();
  }

  #openStream(): Stream {
    const { lane, epoch } = this.#request;
    const requests = new MessageQueue<Request>();
    const stop = new AbortController();
    requests.push({
      request: {
        case: 'open',
        value: {
          stage: toStageMessage(this.#target),
          lane: fromLane(lane) as never,
          epoch: BigInt(epoch),
          after: this.#after ?? new Uint8Array(),
        },
      },
    } as Request);
    const responses = this.#client
      .pullRecords(requests as Requests, { signal: stop.signal })
      [Symbol.asyncIterator]();
    const counts = { receivedRecords: 0, receivedBytes: 0, grantedRecords: 0, grantedBytes: 0 };
    return { requests, responses, stop, pending: undefined, ...counts };
  }

  #closeStream(): void {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream === undefined) return;
    stream.pending?.catch(() => undefined);
    stream.requests.end();
    stream.stop.abort();
  }

  /** Raises the absolute counters so that what is outstanding equals what the engine has room for. */
  #grant(stream: Stream, { maxRecords, maxBytes }: ReadRequest): void {
    const records = Math.max(stream.grantedRecords, stream.receivedRecords + maxRecords);
    const bytes = Math.max(stream.grantedBytes, stream.receivedBytes + maxBytes);
    if (records === stream.grantedRecords && bytes === stream.grantedBytes) return;
    stream.grantedRecords = records;
    stream.grantedBytes = bytes;
    stream.requests.push({
      request: { case: 'credit', value: { records: BigInt(records), bytes: BigInt(bytes) } },
    } as Request);
  }

  #take(stream: Stream, response: Response, request: ReadRequest): ReadResult {
    const { event, backlog } = response;
    if (backlog !== undefined) {
      this.#lag = {
        ...(backlog.records === undefined
          ? {}
          : { records: toCount(backlog.records, 'backlog.records') }),
        ...(backlog.bytes === undefined ? {} : { bytes: toCount(backlog.bytes, 'backlog.bytes') }),
      };
    }
    if (event.case === 'idle') return { kind: 'idle' };
    if (event.case === 'end') {
      this.#isAtEnd = true;
      this.#closeStream();
      return { kind: 'end' };
    }
    if (event.case !== 'batch') throw this.#broken('sent a message without an event');
    const bytes = event.value as unknown as Uint8Array;
    const batch = RecordBatch.decode(bytes);
    stream.receivedRecords += batch.count;
    stream.receivedBytes += bytes.length;
    const overBytes = stream.receivedBytes > stream.grantedBytes && batch.count > 1;
    if (stream.receivedRecords > stream.grantedRecords || overBytes)
      throw this.#broken('sent more than it had credit for');
    this.#checkPositions(batch);
    const { lane, epoch } = this.#request;
    if (batch.count === 0) return { kind: 'idle' };
    return this.#give(batch.withHeader({ lane, epoch, ...noSequences }), request);
  }

  /** As much of `batch` as was asked for. More comes when less is asked for than before: credit is never taken back. */
  #give(batch: RecordBatch, { maxRecords, maxBytes }: ReadRequest): ReadResult {
    const most = Math.min(batch.count, maxRecords);
    let count = 1;
    while (count < most && (batch.spans[2 * count + 1] as number) <= maxBytes) count++;
    this.#held =
      count === batch.count ? undefined : batch.slice(count, batch.count).withHeader(noSequences);
    return { kind: 'batch', batch: batch.slice(0, count).withHeader(noSequences) };
  }

  #checkPositions(batch: RecordBatch): void {
    for (let index = 0; index < batch.count; index++) {
      const position = batch.position(index);
      if (position.length === 0 || position.length > positionMaxBytes) {
        throw this.#broken(
          `sent a record with a position of ${position.length} bytes; it needs 1 to ${positionMaxBytes}`,
        );
      }
      if (this.#after !== undefined && comparePositions(position, this.#after) <= 0) {
        throw this.#broken('sent a record whose position is not after the one before it');
      }
      this.#after = position;
    }
    if (this.#after !== undefined) this.#after = Uint8Array.from(this.#after);
  }

  #broken(what: string): EtlError {
    const { stage } = this.#target;
    return new EtlError(
      'ETL_CONNECTOR_FAILED',
      `stage ${stage}: partition ${this.#request.lane.partition}: the service ${what}`,
      {
        retryable: false,
      },
    );
  }
}

/** The promise's value, or undefined when the signal aborts first; the promise is left alone. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(
      (value) => {
        signal.removeEventListener('abort', onAbort);
        resolve(value);
      },
      (error: unknown) => {
        signal.removeEventListener('abort', onAbort);
        reject(error);
      },
    );
  });
}
