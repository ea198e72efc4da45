import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { EtlError, isEtlError, ManualClock, seededRandom, systemClock } from '@etl-router/core';
import type { GrpcClient } from '@etl-router/proto/grpc';
import {
  ConfigurationSchema,
  type InstallSnapshotRequestSchema,
  type RaftService,
  SnapshotHeaderSchema,
} from '@etl-router/proto/raft';
import { checkMessage } from '../../src/raft/check-message.ts';
import { configurationOf } from '../../src/raft/configuration.ts';
import { crc32c } from '../../src/raft/grpc/crc32c.ts';
import { chunkBytes } from '../../src/raft/grpc/snapshot-bytes.ts';
import type { Message } from '../../src/raft/messages.ts';
import type { SnapshotShipment } from '../../src/raft/transport.ts';
import type { LogPosition } from '../../src/storage/log-types.ts';
import { nodeDisk } from '../../src/storage/node-disk.ts';
import { snapshotName, writeSnapshot } from '../../src/storage/snapshot-file.ts';
import { clusterId, type Member, withMembers } from './members.ts';
import { identity, Relay, strangerTo } from './strangers.ts';

type Chunk = MessageInitShape<typeof InstallSnapshotRequestSchema>;

const position: LogPosition = { index: 700, term: 3 };
const configuration = configurationOf(1, 2, 9);

/** Writes a snapshot of about so many bytes, and returns them. */
async function writeState(directory: string, bytes: number, at = position): Promise<Buffer> {
  const random = seededRandom(bytes);
  const block = Uint8Array.from({ length: 64 * 1024 }, () => random.below(256));
  async function* rows(): AsyncGenerator<[Uint8Array, Uint8Array][], void> {
    for (let left = bytes; left > 0; left -= block.length) {
      yield [[Buffer.from(`key ${left}`), block.subarray(0, left)]];
    }
  }
  const { path } = await writeSnapshot({ disk: nodeDisk, directory, clusterId }, at, rows());
  return await readFile(path);
}

function shipment(to: number, snapshot = position, term = 4): SnapshotShipment {
  return { to, term, snapshot, configuration };
}

const announced = {
  type: 'installSnapshot',
  from: 1,
  to: 2,
  term: 4,
  index: 700,
  indexTerm: 3,
  configuration,
};

async function filesOf({ directory }: Member): Promise<readonly string[]> {
  return (await readdir(directory)).toSorted();
}

function chunksOf(bytes: Uint8Array, from = 0): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = from; at < bytes.length; at += chunkBytes) {
    const data = Uint8Array.from(bytes.subarray(at, at + chunkBytes));
    const last = at + data.length === bytes.length;
    chunks.push({ offset: BigInt(at), data, crc32c: crc32c(data), last });
  }
  return chunks;
}

function headerOf(bytes: Uint8Array): MessageInitShape<typeof SnapshotHeaderSchema> {
  return {
    from: identity({}),
    term: 4n,
    index: 700n,
    indexTerm: 3n,
    configuration: create(ConfigurationSchema, { voters: [1n, 2n, 9n] }),
    totalBytes: BigInt(bytes.length),
    sha256: createHash('sha256').update(bytes).digest(),
    formatVersion: 1,
  };
}

/** Sends chunks as they are, the header with the first; the answer, or the code of the error. */
async function install(
  client: GrpcClient<typeof RaftService>,
  header: MessageInitShape<typeof SnapshotHeaderSchema> | undefined,
  chunks: readonly Chunk[],
  end: 'end' | 'stay' = 'end',
): Promise<number | string> {
  async function* requests(): AsyncGenerator<Chunk, void> {
    for (const [at, chunk] of chunks.entries()) {
      yield at > 0 || header === undefined
        ? chunk
        : { ...chunk, header: create(SnapshotHeaderSchema, header) };
    }
    if (end === 'stay') await new Promise(() => undefined);
  }
  try {
    const { resumeOffset } = await client.installSnapshot(requests(), { deadlineMs: 120_000 });
    return Number(resumeOffset);
  } catch (error) {
    if (isEtlError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
}

test(
  'a snapshot of 20 MB arrives bit for bit, under its name, and is announced once it is there',
  withMembers(async (members) => {
    const [a, b] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    const bytes = await writeState(a.directory, 20_000_000);
    a.transport.setPeers([b.peer]);
    a.transport.sendSnapshot(shipment(2));
    await a.heard.until(({ shipped }) => shipped.length === 1);
    assert.deepEqual(a.heard.shipped, [{ id: 2, arrived: true }]);
    assert.deepEqual(await filesOf(b), [snapshotName(position)]);
    assert.ok(bytes.equals(await readFile(`${b.directory}/${snapshotName(position)}`)));
    assert.deepEqual(b.heard.messages, [announced]);
    // Once more: what is there is not sent again.
    a.transport.sendSnapshot(shipment(2));
    await a.heard.until(({ shipped }) => shipped.length === 2);
    assert.deepEqual(a.heard.shipped.at(-1), { id: 2, arrived: true });
    assert.deepEqual(b.heard.messages, [announced, announced]);
  }),
);

test(
  'a stream that is cut goes on where it stopped',
  withMembers(async (members) => {
    const [a, b] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    const bytes = await writeState(a.directory, 8_000_000);
    const relay = await Relay.open(members, b.transport.address);
    relay.remaining = 5_000_000;
    a.transport.setPeers([{ ...b.peer, address: relay.address }]);
    a.transport.sendSnapshot(shipment(2));
    await a.heard.until(({ shipped }) => shipped.length === 1);
    assert.deepEqual(a.heard.shipped, [{ id: 2, arrived: true }]);
    assert.ok(bytes.equals(await readFile(`${b.directory}/${snapshotName(position)}`)));
    assert.ok(relay.passed < 11_000_000, `${relay.passed} bytes for ${bytes.length}`);
  }),
);

test(
  'a sender that dies after any chunk leaves no snapshot, and what it brought counts',
  withMembers(async (members) => {
    const source = await members.directory();
    const bytes = await writeState(source, 3_000_000);
    const chunks = chunksOf(bytes);
    for (let count = 1; count < chunks.length; count++) {
      const member = await members.add({ id: 2 });
      const client = strangerTo(members, member);
      const header = headerOf(bytes);
      assert.match(
        String(await install(client, header, chunks.slice(0, count))),
        /^ETL_UNAVAILABLE: the stream ended after/,
      );
      assert.deepEqual(member.heard.messages, []);
      const empty = { ...chunksOf(bytes)[0], data: new Uint8Array(0), crc32c: 0 };
      const resumeAt = await install(client, header, [empty]);
      assert.equal(resumeAt, count * chunkBytes);
      assert.equal(await install(client, header, chunksOf(bytes, resumeAt)), bytes.length);
      assert.ok(bytes.equals(await readFile(`${member.directory}/${snapshotName(position)}`)));
      assert.equal(member.heard.messages.length, 1);
    }
  }),
);

test(
  'what was begun is continued by the next process, and given up for another snapshot',
  withMembers(async (members) => {
    const bytes = await writeState(await members.directory(), 3_000_000);
    const first = await members.add({ id: 2 });
    await install(strangerTo(members, first), headerOf(bytes), chunksOf(bytes).slice(0, 3));
    await first.transport.close();
    const snapshots = { disk: nodeDisk, directory: first.directory };
    const second = await members.add({ id: 2, snapshots });
    const client = strangerTo(members, second);
    assert.equal(
      await install(client, headerOf(bytes), chunksOf(bytes).slice(0, 1)),
      3 * chunkBytes,
    );
    const other = await writeState(await members.directory(), 2_000_000);
    assert.equal(await install(client, headerOf(other), chunksOf(other)), other.length);
    assert.deepEqual(await filesOf(first), [snapshotName(position)]);
  }),
);

const refusals: readonly {
  readonly what: string;
  readonly header?: (bytes: Uint8Array) => MessageInitShape<typeof SnapshotHeaderSchema>;
  readonly chunks?: (bytes: Uint8Array) => readonly Chunk[];
  readonly answer: RegExp;
  /** What is left of it. */
  readonly left?: 'part';
}[] = [
  {
    what: 'of 1 TiB',
    header: (bytes) => ({ ...headerOf(bytes), totalBytes: 2n ** 40n }),
    answer: /^ETL_INVALID_ARGUMENT: header.total_bytes: .*1099511627776/,
  },
  {
    what: 'of more than 2^53 bytes',
    header: (bytes) => ({ ...headerOf(bytes), totalBytes: 2n ** 63n }),
    answer: /^ETL_INVALID_ARGUMENT: .*header.total_bytes is 9223372036854775808/,
  },
  {
    what: 'of no bytes',
    header: (bytes) => ({ ...headerOf(bytes), totalBytes: 0n }),
    answer: /^ETL_INVALID_ARGUMENT: header.total_bytes: /,
  },
  {
    what: 'that is shorter than it says',
    header: (bytes) => ({ ...headerOf(bytes), totalBytes: BigInt(bytes.length + 1) }),
    answer: /^ETL_INVALID_ARGUMENT: the header says \d+ bytes, there are \d+/,
  },
  {
    what: 'that is longer than it says',
    header: (bytes) => ({ ...headerOf(bytes), totalBytes: BigInt(bytes.length - 1) }),
    answer: /^ETL_INVALID_ARGUMENT: the header says \d+ bytes, there are \d+/,
  },
  {
    what: 'with another digest',
    header: (bytes) => ({ ...headerOf(bytes), sha256: new Uint8Array(32) }),
    answer: /^ETL_INVALID_ARGUMENT: the snapshot does not match the SHA-256/,
  },
  {
    what: 'with a digest of 31 bytes',
    header: (bytes) => ({ ...headerOf(bytes), sha256: new Uint8Array(31) }),
    answer: /^ETL_INVALID_ARGUMENT: header.sha256: /,
  },
  {
    what: 'for another entry than its header says',
    header: (bytes) => ({ ...headerOf(bytes), index: 701n }),
    answer: /^ETL_INVALID_ARGUMENT: .*another entry/,
  },
  {
    what: 'of entry 0',
    header: (bytes) => ({ ...headerOf(bytes), index: 0n }),
    answer: /^ETL_INVALID_ARGUMENT: header.index: /,
  },
  {
    what: 'of a term that is over',
    header: (bytes) => ({ ...headerOf(bytes), term: 3n }),
    answer: /^ETL_CONFLICT: term 3 is over, term 4 began/,
  },
  {
    what: 'of another format',
    header: (bytes) => ({ ...headerOf(bytes), formatVersion: 2 }),
    answer: /^ETL_UNSUPPORTED: header.format_version: /,
  },
  {
    what: 'of another cluster',
    header: (bytes) => ({ ...headerOf(bytes), from: identity({ clusterId: 'other' }) }),
    answer: /^ETL_PERMISSION_DENIED: /,
  },
  {
    what: 'with members that can not be',
    header: (bytes) => ({
      ...headerOf(bytes),
      configuration: create(ConfigurationSchema, { voters: [2n, 1n] }),
    }),
    answer: /^ETL_INVALID_ARGUMENT: members: /,
  },
  {
    what: 'without voters',
    header: (bytes) => ({ ...headerOf(bytes), configuration: create(ConfigurationSchema, {}) }),
    answer: /^ETL_INVALID_ARGUMENT: configuration: has no voters/,
  },
  {
    what: 'with a chunk that is damaged',
    chunks: (bytes) =>
      chunksOf(bytes).map((chunk, at) => (at === 2 ? { ...chunk, crc32c: 1 } : chunk)),
    answer: /^ETL_UNAVAILABLE: the chunk at 1048576 arrived damaged/,
    left: 'part',
  },
  {
    what: 'with a chunk left out',
    chunks: (bytes) => chunksOf(bytes).toSpliced(1, 1),
    answer: /^524288$/,
    left: 'part',
  },
  {
    what: 'with a chunk that comes twice',
    chunks: (bytes) => chunksOf(bytes).flatMap((chunk) => [chunk, chunk]),
    answer: /^524288$/,
    left: 'part',
  },
  {
    what: 'with a second header',
    chunks: (bytes) =>
      chunksOf(bytes).map((chunk) => ({
        ...chunk,
        header: create(SnapshotHeaderSchema, headerOf(bytes)),
      })),
    answer: /^ETL_INVALID_ARGUMENT: header: /,
    left: 'part',
  },
  {
    what: 'that is no snapshot',
    header: (bytes) => headerOf(new Uint8Array(bytes.length)),
    chunks: (bytes) => chunksOf(new Uint8Array(bytes.length)),
    answer: /^ETL_INVALID_ARGUMENT: .*this is no snapshot/,
  },
];

function check(message: Message): void {
  const why = checkMessage(message, 2);
  if (why !== undefined) throw new EtlError('ETL_INVALID_ARGUMENT', why);
}

for (const { what, header = headerOf, chunks = chunksOf, answer, left } of refusals) {
  test(
    `a snapshot ${what} is refused and leaves ${left === undefined ? 'nothing' : 'what was good'}`,
    withMembers(async (members) => {
      const bytes = await writeState(await members.directory(), 1_300_000);
      const member = await members.add({ id: 2, participation: { term: () => 4, check } });
      const client = strangerTo(members, member);
      assert.match(String(await install(client, header(bytes), chunks(bytes))), answer);
      const files = await filesOf(member);
      assert.equal(files.length, left === 'part' ? 1 : 0, files.join(' '));
      assert.deepEqual(member.heard.messages, []);
      // A good one is taken afterwards, from the beginning or from what is there.
      const resumeAt = await install(client, headerOf(bytes), [
        { offset: 0n, data: new Uint8Array(0), crc32c: 0 },
        ...(left === undefined ? chunksOf(bytes) : []),
      ]);
      assert.equal(
        await install(client, headerOf(bytes), chunksOf(bytes, Number(resumeAt) % bytes.length)),
        bytes.length,
      );
      assert.ok(bytes.equals(await readFile(`${member.directory}/${snapshotName(position)}`)));
    }),
  );
}

test(
  'a stream without a header, and one that is idle for two minutes, are ended',
  withMembers(async (members) => {
    const clock = new ManualClock();
    const member = await members.add({ id: 2, clock });
    const client = strangerTo(members, member);
    const bytes = await writeState(await members.directory(), 1_000_000);
    assert.match(
      String(await install(client, undefined, chunksOf(bytes))),
      /^ETL_INVALID_ARGUMENT: header: is missing/,
    );
    const idle = install(client, headerOf(bytes), chunksOf(bytes).slice(0, 1), 'stay');
    while ((await filesOf(member)).length === 0 || clock.pending === 0) {
      await new Promise((next) => setImmediate(next));
    }
    clock.advance(2 * 60 * 1000);
    assert.match(String(await idle), /^ETL_TIMEOUT: no chunk came for 120000 ms/);
  }),
);

test(
  'a later snapshot takes the place of one that is being taken, an older one is told to wait',
  withMembers(async (members) => {
    const member = await members.add({ id: 2 });
    const client = strangerTo(members, member);
    const old = await writeState(await members.directory(), 1_000_000);
    const later = await writeState(await members.directory(), 1_000_000, { index: 800, term: 4 });
    const laterHeader = { ...headerOf(later), index: 800n, indexTerm: 4n };
    const first = install(client, headerOf(old), chunksOf(old).slice(0, 1), 'stay');
    while ((await filesOf(member)).length === 0) await new Promise((next) => setImmediate(next));
    const second = install(client, laterHeader, chunksOf(later).slice(0, 1), 'stay');
    assert.match(String(await first), /^ETL_CANCELLED: another stream took the place/);
    assert.match(
      String(await install(client, headerOf(old), chunksOf(old))),
      /^ETL_CONFLICT: the snapshot of entry 800 is being taken/,
    );
    assert.equal(
      await install(client, laterHeader, [{ offset: 0n, data: new Uint8Array(0), crc32c: 0 }]),
      chunkBytes,
    );
    assert.match(String(await second), /^ETL_CANCELLED: /);
    assert.deepEqual((await filesOf(member)).length, 1);
  }),
);

test(
  'a snapshot that is damaged or missing where it is sent from is not sent',
  withMembers(async (members) => {
    const [a, b] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    a.transport.setPeers([b.peer]);
    a.transport.sendSnapshot(shipment(2));
    await a.heard.until(({ shipped }) => shipped.length === 1);
    const bytes = await writeState(a.directory, 1_000_000);
    const path = `${a.directory}/${snapshotName(position)}`;
    const damaged = Uint8Array.from(bytes);
    damaged[500_000] = (damaged[500_000] as number) ^ 1;
    await writeFile(path, damaged);
    a.transport.sendSnapshot(shipment(2));
    await a.heard.until(({ shipped }) => shipped.length === 2);
    await truncate(path, 10);
    a.transport.sendSnapshot(shipment(2));
    await a.heard.until(({ shipped }) => shipped.length === 3);
    assert.deepEqual(a.heard.shipped, Array(3).fill({ id: 2, arrived: false }));
    assert.deepEqual(await filesOf(b), []);
  }),
);

test(
  'a member that can not be reached, or that left, does not get a snapshot, and others do',
  withMembers(async (members) => {
    const [a, b] = [await members.add({ id: 1 }), await members.add({ id: 2 })];
    await writeState(a.directory, 1_000_000);
    a.transport.setPeers([b.peer, { id: 3, name: 'm3', address: '127.0.0.1:1' }]);
    for (const id of [3, 4, 2]) a.transport.sendSnapshot(shipment(id));
    await a.heard.until(({ shipped }) => shipped.length === 3);
    assert.deepEqual(a.heard.shipped, [
      { id: 3, arrived: false },
      { id: 4, arrived: false },
      { id: 2, arrived: true },
    ]);
  }),
);

test(
  'snapshots leave at the rate that is allowed',
  withMembers(async (members) => {
    const bytesPerS = 4 * 1024 * 1024;
    const a = await members.add({ id: 1, snapshotBytesPerS: bytesPerS });
    const b = await members.add({ id: 2 });
    const bytes = await writeState(a.directory, 2_000_000);
    a.transport.setPeers([b.peer]);
    const startMs = systemClock.monotonicMs();
    a.transport.sendSnapshot(shipment(2));
    await a.heard.until(({ shipped }) => shipped.length === 1);
    const leastMs = ((bytes.length - chunkBytes) / bytesPerS) * 1000 - 5;
    assert.ok(systemClock.monotonicMs() - startMs >= leastMs);
  }),
);

test('the checksum is CRC-32C', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe306_9283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa);
  assert.equal(crc32c(new Uint8Array(0)), 0);
});
