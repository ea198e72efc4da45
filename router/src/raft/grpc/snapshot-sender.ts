// Streams snapshot files to members that lag too far for the log. One at a time, so that the disk and the network stay
// free for the log; at a bounded rate; and continued where a broken stream left off.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Cancel,
  type Clock,
  EtlError,
  type Logger,
  type Random,
  sleep,
  toEtlError,
} from '@etl-router/core';
import {
  type InstallSnapshotRequestSchema,
  type SnapshotHeader,
  SnapshotHeaderSchema,
} from '@etl-router/proto/raft';
import type { DiskFile } from '../../storage/disk.ts';
import { type SnapshotPlace, snapshotName } from '../../storage/snapshot-file.ts';
import type { Peer, SnapshotShipment } from '../transport.ts';
import { toWireConfiguration } from './configuration-codec.ts';
import { crc32c } from './crc32c.ts';
import type { Dialer } from './dialer.ts';
import { encodeIdentity, type PeerIdentity } from './identity.ts';
import { toNumber } from './message-codec.ts';
import { Pauses } from './pauses.ts';
import {
  chunkBytes,
  digestSnapshot,
  idleMs,
  type SnapshotDigest,
  snapshotFormatVersion,
} from './snapshot-bytes.ts';

/** Attempts in a row that bring nothing across before a shipment is given up. */
const maxFruitless = 5;

export interface SnapshotSenderParts {
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly place: () => SnapshotPlace;
  readonly self: () => PeerIdentity;
  readonly peerOf: (id: number) => Peer | undefined;
  readonly onDone: (id: number, arrived: boolean) => void;
  readonly onError: (error: EtlError) => void;
  readonly maxBytesPerS: number;
}

type ChunkInit = MessageInitShape<typeof InstallSnapshotRequestSchema>;

interface Job {
  readonly shipment: SnapshotShipment;
  readonly cancel: AbortController;
}

/** A file that is being sent, and what each of its chunks needs. */
interface Source extends SnapshotDigest {
  readonly file: ChunkFile;
  readonly shipment: SnapshotShipment;
}

export class SnapshotSender {
  readonly #parts: SnapshotSenderParts;
  /** The latest wish for each member, in the order they came. */
  readonly #waiting = new Map<number, Job>();
  #current: Job | undefined;
  #running: Promise<void> | undefined;
  #isClosed = false;
  #mayGoAtMs = 0;

  constructor(parts: SnapshotSenderParts) {
    this.#parts = parts;
  }

  /** Sends a snapshot; one for the same member that is older, or of an older term, is given up. */
  send(shipment: SnapshotShipment): void {
    if (this.#isClosed) return;
    const { to } = shipment;
    if (this.#current?.shipment.to === to) {
      if (!isLater(shipment, this.#current.shipment)) return;
      this.#current.cancel.abort(
        new EtlError('ETL_CANCELLED', 'a later snapshot takes the place of this one'),
      );
    }
    this.#waiting.set(to, { shipment, cancel: new AbortController() });
    this.#running ??= this.#run();
  }

  /** Gives up what is sent to members that are no longer there. */
  dropOthers(stays: (id: number) => boolean): void {
    for (const id of this.#waiting.keys()) if (!stays(id)) this.#waiting.delete(id);
    const current = this.#current;
    if (current !== undefined && !stays(current.shipment.to)) {
      current.cancel.abort(new EtlError('ETL_CANCELLED', 'the member was removed'));
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting.clear();
    this.#current?.cancel.abort(new EtlError('ETL_CANCELLED', 'this member stops'));
    await this.#running;
  }

  async #run(): Promise<void> {
    for (;;) {
      const next = this.#waiting.entries().next();
      if (next.done === true) break;
      const [id, job] = next.value;
      this.#waiting.delete(id);
      this.#current = job;
      const arrived = await this.#ship(job);
      this.#current = undefined;
      // A later wish for the same member is not answered by the end of this one.
      if (!this.#isClosed && !this.#waiting.has(id)) this.#parts.onDone(id, arrived);
    }
    this.#running = undefined;
  }

  async #ship({ shipment, cancel }: Job): Promise<boolean> {
    const { disk, directory, clusterId } = this.#parts.place();
    const path = `${directory}/${snapshotName(shipment.snapshot)}`;
    const details = { member: shipment.to, snapshot: shipment.snapshot.index };
    let file: ChunkFile | undefined;
    try {
      const opened = await disk.open(path, 'read');
      file = new ChunkFile(opened);
      const position = shipment.snapshot;
      const digest = await digestSnapshot(opened, { path, clusterId, position });
      await this.#deliver({ ...digest, file, shipment }, cancel.signal);
      this.#parts.logger.info({ ...details, bytes: digest.totalBytes }, 'a snapshot was sent');
      return true;
    } catch (error) {
      this.#parts.logger.warn({ ...details, err: error }, 'a snapshot was not sent');
      this.#parts.onError(toEtlError(error));
      return false;
    } finally {
      await file?.close();
    }
  }

  /** Attempts it until all has arrived, or attempts bring nothing any more. */
  async #deliver(source: Source, signal: AbortSignal): Promise<void> {
    const pauses = new Pauses(this.#parts.random);
    let best = 0;
    let fruitless = 0;
    for (let offset = 0; ; ) {
      let failure: EtlError | undefined;
      let resumeAt = 0;
      try {
        resumeAt = await this.#attempt(source, offset, signal);
      } catch (error) {
        failure = toEtlError(error);
      }
      signal.throwIfAborted();
      if (resumeAt === source.totalBytes) return;
      if (failure !== undefined && !isWorthRepeating(failure)) throw failure;
      fruitless = resumeAt > best ? 0 : fruitless + 1;
      best = Math.max(best, resumeAt);
      if (fruitless >= maxFruitless) {
        throw (
          failure ?? new EtlError('ETL_UNAVAILABLE', `the member takes no more than ${best} bytes`)
        );
      }
      if (failure !== undefined || fruitless > 1) await pauses.wait(this.#parts.clock, signal);
      // After a failure the member is asked where to go on, by a call that begins at 0.
      offset = failure === undefined ? resumeAt : 0;
    }
  }

  /** One call; returns from where to go on. */
  async #attempt(source: Source, offset: number, signal: AbortSignal): Promise<number> {
    const peer = this.#parts.peerOf(source.shipment.to);
    if (peer === undefined) throw new EtlError('ETL_NOT_FOUND', 'the member was removed');
    const client = await this.#parts.dialer.connect(peer, signal);
    const idle = new IdleWatch(this.#parts.clock, signal);
    try {
      const { resumeOffset } = await client.installSnapshot(this.#chunks(source, offset, idle), {
        signal: idle.signal,
      });
      const resumeAt = toNumber(resumeOffset, 'resume_offset');
      if (resumeAt <= source.totalBytes) return resumeAt;
      throw new EtlError('ETL_INVALID_ARGUMENT', `resume_offset ${resumeAt} is beyond the end`);
    } finally {
      idle.close();
      client.close();
    }
  }

  /** The first chunk says what follows and is empty: who has a part of it already answers at once. */
  async *#chunks(source: Source, from: number, idle: IdleWatch): AsyncGenerator<ChunkInit, void> {
    const { file, totalBytes } = source;
    yield { ...chunkOf(from, new Uint8Array(0), false), header: this.#header(source) };
    for (let offset = from; offset < totalBytes; ) {
      const data = await file.read(offset, Math.min(chunkBytes, totalBytes - offset));
      await this.#takeTurn(data.length, idle.signal);
      idle.touch();
      yield chunkOf(offset, data, offset + data.length === totalBytes);
      offset += data.length;
    }
  }

  #header({ shipment, totalBytes, sha256 }: Source): SnapshotHeader {
    const { term, snapshot, configuration } = shipment;
    return create(SnapshotHeaderSchema, {
      from: encodeIdentity(this.#parts.self()),
      term: BigInt(term),
      index: BigInt(snapshot.index),
      indexTerm: BigInt(snapshot.term),
      configuration: toWireConfiguration(configuration),
      totalBytes: BigInt(totalBytes),
      sha256: Uint8Array.from(sha256),
      formatVersion: snapshotFormatVersion,
    });
  }

  /** Waits until so many bytes may leave at the rate allowed. */
  async #takeTurn(bytes: number, signal: AbortSignal): Promise<void> {
    const { clock, maxBytesPerS } = this.#parts;
    const nowMs = clock.monotonicMs();
    const atMs = Math.max(nowMs, this.#mayGoAtMs);
    this.#mayGoAtMs = atMs + (bytes / maxBytesPerS) * 1000;
    if (atMs > nowMs) await sleep(clock, atMs - nowMs, signal);
  }
}

/** A file that may be closed while a stream that has ended still reads its next chunk. */
class ChunkFile {
  readonly #file: DiskFile;
  #reading: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  /** For one reader at a time. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (this.#isClosed) throw new EtlError('ETL_CANCELLED', 'the file was closed');
    const reading = this.#file.read(offset, length);
    this.#reading = reading.catch(() => undefined);
    return await reading;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#reading;
    await this.#file.close();
  }
}

/** Aborts a call in which nothing moved for too long. */
class IdleWatch {
  readonly signal: AbortSignal;
  readonly #clock: Clock;
  readonly #idle = new AbortController();
  #cancel: Cancel | undefined;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.signal = AbortSignal.any([signal, this.#idle.signal]);
    this.touch();
  }

  /** Something moved. */
  touch(): void {
    this.#cancel?.();
    if (this.#idle.signal.aborted) return;
    this.#cancel = this.#clock.after(idleMs, () =>
      this.#idle.abort(new EtlError('ETL_TIMEOUT', `the member took no chunk for ${idleMs} ms`)),
    );
  }

  close(): void {
    this.#idle.abort();
    this.#cancel?.();
  }
}

function chunkOf(offset: number, data: Uint8Array, last: boolean): ChunkInit {
  return {
    offset: BigInt(offset),
    data: data as Uint8Array<ArrayBuffer>,
    crc32c: crc32c(data),
    last,
  };
}

function isLater(a: SnapshotShipment, b: SnapshotShipment): boolean {
  return a.term > b.term || (a.term === b.term && a.snapshot.index > b.snapshot.index);
}

/** A refusal stays one; a broken connection or a busy receiver does not. */
function isWorthRepeating({ code, retryable }: EtlError): boolean {
  return retryable || code === 'ETL_UNAVAILABLE';
}
