// Takes snapshots that other members stream. The bytes go to a file of their own beside the snapshots; only when all of
// them are there, durable and proven is it given the name of a snapshot. What was begun stays, so that a stream that
// broke goes on where it stopped, in this process or the next.

import { type Clock, EtlError, isEtlError } from '@etl-router/core';
import type { CallContext } from '@etl-router/proto/grpc';
import type { InstallSnapshotRequest, InstallSnapshotResponse } from '@etl-router/proto/raft';
import { type DiskFile, errorCode, onDisk } from '../../storage/disk.ts';
import type { LogPosition } from '../../storage/log-types.ts';
import { type SnapshotPlace, snapshotName } from '../../storage/snapshot-file.ts';
import type { MessageOf } from '../messages.ts';
import { fromWireConfiguration } from './configuration-codec.ts';
import { crc32c } from './crc32c.ts';
import { type PeerIdentity, RefusedPeer } from './identity.ts';
import { InterruptibleReader } from './inbound.ts';
import { toNumber } from './message-codec.ts';
import { digestSnapshot, idleMs, maxChunkBytes, snapshotFormatVersion } from './snapshot-bytes.ts';

const partSuffix = '.part';

export interface SnapshotReceiverParts {
  readonly clock: Clock;
  readonly place: () => SnapshotPlace;
  readonly self: () => PeerIdentity;
  readonly admit: (
    from: NonNullable<InstallSnapshotRequest['header']>['from'],
    context: CallContext,
  ) => PeerIdentity;
  /** This member's term; what comes from an older one is refused. */
  readonly term: () => number;
  /** Throws where the message that will announce the snapshot makes no sense. */
  readonly check: (message: MessageOf<'installSnapshot'>) => void;
  readonly receive: (message: MessageOf<'installSnapshot'>) => void;
  /** A snapshot that claims more is refused. */
  readonly maxBytes: number;
}

/** A header that was checked. */
interface Offer {
  /** What is received once it is there. */
  readonly announcement: MessageOf<'installSnapshot'>;
  readonly term: number;
  readonly position: LogPosition;
  readonly totalBytes: number;
  readonly sha256: Uint8Array;
}

/** A stream that is being taken. */
interface Taking {
  readonly offer: Offer;
  readonly end: (error: EtlError) => void;
  readonly over: Promise<void>;
}

type Chunk = InstallSnapshotRequest;
type Answer = Pick<InstallSnapshotResponse, 'term' | 'resumeOffset'>;

export class SnapshotReceiver {
  readonly #parts: SnapshotReceiverParts;
  #taking: Taking | undefined;

  constructor(parts: SnapshotReceiverParts) {
    this.#parts = parts;
  }

  /** The handler of the call InstallSnapshot. */
  async install(chunks: AsyncIterable<Chunk>, context: CallContext): Promise<Answer> {
    const reader = new InterruptibleReader(chunks);
    const first = await this.#next(reader);
    if (first?.header === undefined) {
      throw new RefusedPeer('malformed', 'header: is missing from the first chunk');
    }
    const offer = this.#checkOffer(first.header, context);
    const finished = Promise.withResolvers<void>();
    const end = (error: EtlError): void => reader.end(error);
    const taking = { offer, end, over: finished.promise };
    await this.#claim(taking);
    try {
      const resumeOffset = await this.#take(offer, first, reader);
      return { term: BigInt(this.#parts.term()), resumeOffset: BigInt(resumeOffset) };
    } finally {
      if (this.#taking === taking) this.#taking = undefined;
      finished.resolve();
    }
  }

  /** Ends the stream that is being taken, and waits until its file is closed. */
  async close(): Promise<void> {
    const taking = this.#taking;
    taking?.end(new EtlError('ETL_UNAVAILABLE', 'this member stops'));
    await taking?.over;
  }

  #checkOffer(header: NonNullable<Chunk['header']>, context: CallContext): Offer {
    const from = this.#parts.admit(header.from, context);
    const totalBytes = toNumber(header.totalBytes, 'header.total_bytes');
    const { maxBytes } = this.#parts;
    if (totalBytes === 0 || totalBytes > maxBytes) {
      throw new RefusedPeer(
        'malformed',
        `header.total_bytes: a snapshot of ${totalBytes} bytes is refused, 1 to ${maxBytes} are taken`,
      );
    }
    if (header.sha256.length !== 32) {
      throw new RefusedPeer('malformed', 'header.sha256: needs 32 bytes');
    }
    if (header.formatVersion !== snapshotFormatVersion) {
      throw new RefusedPeer(
        'protocolVersion',
        `header.format_version: snapshots of format ${header.formatVersion} can not be read here, only ${snapshotFormatVersion}`,
      );
    }
    const term = toNumber(header.term, 'header.term');
    if (term < this.#parts.term()) {
      throw new EtlError('ETL_CONFLICT', `term ${term} is over, term ${this.#parts.term()} began`);
    }
    const position = {
      index: toNumber(header.index, 'header.index'),
      term: toNumber(header.indexTerm, 'header.index_term'),
    };
    if (position.index < 1 || position.term < 1 || position.term > term) {
      throw new RefusedPeer('malformed', 'header.index: stands for no entry of the log');
    }
    const announcement: Offer['announcement'] = {
      type: 'installSnapshot',
      from: from.id,
      to: this.#parts.self().id,
      term,
      index: position.index,
      indexTerm: position.term,
      configuration: fromWireConfiguration(header.configuration),
    };
    this.#parts.check(announcement);
    return { announcement, term, position, totalBytes, sha256: header.sha256 };
  }

  /** One at a time: an older snapshot gives way, and the same one when its sender comes again. */
  async #claim(next: Taking): Promise<void> {
    for (let taking = this.#taking; taking !== undefined; taking = this.#taking) {
      if (isOlder(next.offer, taking.offer)) {
        throw new EtlError(
          'ETL_CONFLICT',
          `the snapshot of entry ${taking.offer.position.index} is being taken; send it again later`,
          { retryable: true },
        );
      }
      taking.end(new EtlError('ETL_CANCELLED', 'another stream took the place of this one'));
      await taking.over;
    }
    this.#taking = next;
  }

  async #take(offer: Offer, first: Chunk, reader: InterruptibleReader<Chunk>): Promise<number> {
    const place = this.#parts.place();
    const path = `${place.directory}/${snapshotName(offer.position)}`;
    const part = `${path}.${Buffer.from(offer.sha256).toString('hex').slice(0, 16)}${partSuffix}`;
    await onDisk('create', place.directory, () => place.disk.makeDirectory(place.directory));
    if (!(await this.#isThere(path))) {
      await this.#removeOtherParts(place, part);
      const file = await this.#openPart(part);
      try {
        const length = await this.#write({ file, offer, part, place }, first, reader);
        if (length < offer.totalBytes) return length;
        await this.#prove(file, { offer, part, path, place });
      } finally {
        await file.close();
      }
      await onDisk('rename', path, () => place.disk.rename(part, path));
      await onDisk('sync', place.directory, () => place.disk.syncDirectory(place.directory));
    }
    this.#parts.receive(offer.announcement);
    return offer.totalBytes;
  }

  /** Writes chunks until all bytes are there; returns early with what is there where the sender is elsewhere. */
  async #write(
    { file, offer, part, place }: Part,
    first: Chunk,
    reader: InterruptibleReader<Chunk>,
  ): Promise<number> {
    let length = await file.size();
    for (let chunk: Chunk | undefined = first; chunk !== undefined; ) {
      const { data } = chunk;
      if (chunk !== first && chunk.header !== undefined) {
        throw new RefusedPeer('malformed', 'header: is said with the first chunk only');
      }
      if (data.length > maxChunkBytes) {
        throw new RefusedPeer(
          'malformed',
          `data: has ${data.length} bytes, at most ${maxChunkBytes}`,
        );
      }
      if (chunk.offset !== BigInt(length)) return length;
      if (crc32c(data) !== chunk.crc32c) {
        throw new EtlError('ETL_UNAVAILABLE', `the chunk at ${length} arrived damaged`);
      }
      const end = length + data.length;
      if (end > offer.totalBytes || (chunk.last && end < offer.totalBytes)) {
        await this.#discard(place, part);
        throw new RefusedPeer(
          'malformed',
          `the header says ${offer.totalBytes} bytes, there are ${chunk.last ? '' : 'at least '}${end}`,
        );
      }
      await this.#append({ file, offer, part, place }, length, data);
      length = end;
      if (length === offer.totalBytes) return length;
      chunk = await this.#next(reader);
    }
    throw new EtlError('ETL_UNAVAILABLE', `the stream ended after ${length} bytes`);
  }

  async #append({ file, part, place }: Part, at: number, data: Uint8Array): Promise<void> {
    try {
      await onDisk('write', part, () => file.write(at, [data]));
    } catch (error) {
      // A full disk is not filled further by keeping what can not be continued.
      await this.#discard(place, part);
      throw error;
    }
  }

  async #prove(
    file: DiskFile,
    { offer, part, path, place }: Omit<Part, 'file'> & { readonly path: string },
  ): Promise<void> {
    const { clusterId } = place;
    const { position, sha256 } = offer;
    try {
      const found = await digestSnapshot(file, { path, clusterId, position });
      if (Buffer.compare(found.sha256, sha256) === 0) {
        await onDisk('sync', part, () => file.sync());
        return;
      }
    } catch (error) {
      await this.#discard(place, part);
      throw new RefusedPeer('malformed', isEtlError(error) ? error.message : String(error));
    }
    await this.#discard(place, part);
    throw new RefusedPeer('malformed', 'the snapshot does not match the SHA-256 of its header');
  }

  async #isThere(path: string): Promise<boolean> {
    const file = await this.#openIfThere(path, 'read');
    await file?.close();
    return file !== undefined;
  }

  async #openPart(part: string): Promise<DiskFile> {
    const { disk } = this.#parts.place();
    return (
      (await this.#openIfThere(part, 'update')) ??
      (await onDisk('create', part, () => disk.open(part, 'create')))
    );
  }

  async #openIfThere(path: string, mode: 'read' | 'update'): Promise<DiskFile | undefined> {
    const { disk } = this.#parts.place();
    return await onDisk('open', path, async () => {
      try {
        return await disk.open(path, mode);
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return undefined;
        throw error;
      }
    });
  }

  async #removeOtherParts(place: SnapshotPlace, part: string): Promise<void> {
    const names = await onDisk('list', place.directory, () => place.disk.list(place.directory));
    for (const name of names) {
      const path = `${place.directory}/${name}`;
      if (name.endsWith(partSuffix) && path !== part) await this.#discard(place, path);
    }
  }

  async #discard({ disk }: SnapshotPlace, path: string): Promise<void> {
    await onDisk('remove', path, () => disk.remove(path));
  }

  async #next(reader: InterruptibleReader<Chunk>): Promise<Chunk | undefined> {
    const cancel = this.#parts.clock.after(idleMs, () =>
      reader.end(new EtlError('ETL_TIMEOUT', `no chunk came for ${idleMs} ms`)),
    );
    try {
      return await reader.next();
    } finally {
      cancel();
    }
  }
}

/** A file that is being filled. */
interface Part {
  readonly file: DiskFile;
  readonly offer: Offer;
  readonly part: string;
  readonly place: SnapshotPlace;
}

function isOlder(a: Offer, b: Offer): boolean {
  return a.term < b.term || (a.term === b.term && a.position.index < b.position.index);
}
