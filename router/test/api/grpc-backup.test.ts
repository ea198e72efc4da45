import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { seededRandom } from '@etl-router/core';
import { BackupService, Compression, type StreamSnapshotResponse } from '@etl-router/proto/backup';
import { createClient, type GrpcClient } from '@etl-router/proto/grpc';
import { ChannelCredentials } from '@grpc/grpc-js';
import { allText, sourceText } from '../server/harness.ts';
import { atEnd, type Fixture, makeConfig, makeDirectory, saying, start } from './fixture.ts';

type Client = GrpcClient<typeof BackupService>;

interface Bench extends Fixture {
  readonly backup: Client;
  readonly directory: string;
  /** Names in the folder of the snapshots, hidden ones too. */
  readonly kept: () => Promise<readonly string[]>;
}

async function startBench(t: TestContext, seed = 5): Promise<Bench> {
  const directory = await makeDirectory(t);
  const fixture = await start(t, { config: makeConfig(directory), random: seededRandom(seed) });
  const backup = createClient(BackupService, fixture.address, ChannelCredentials.createInsecure());
  atEnd(t, () => backup.close());
  const folder = join(directory, 'router', 'backups');
  const kept = (): Promise<readonly string[]> => readdir(folder);
  return { ...fixture, backup, directory, kept };
}

async function download(
  backup: Client,
  snapshotId: string,
  {
    compression = Compression.NONE,
    offset = 0n,
  }: { readonly compression?: Compression; readonly offset?: bigint } = {},
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let at = offset;
  let last: StreamSnapshotResponse | undefined;
  for await (const response of backup.streamSnapshot({ snapshotId, compression, offset })) {
    const { data, offset: found } = response.chunk ?? { data: new Uint8Array(), offset: -1n };
    assert.equal(found, at);
    assert(data.length <= 1024 * 1024);
    at += BigInt(data.length);
    chunks.push(data);
    last = response;
  }
  assert.equal(last?.chunk?.last, true);
  return Buffer.concat(chunks);
}

const describe = (bytes: Uint8Array, snapshotId = 'up') => ({
  snapshotId,
  sizeBytes: BigInt(bytes.length),
  sha256: createHash('sha256').update(bytes).digest(),
});

function upload(
  backup: Client,
  bytes: Uint8Array,
  {
    snapshot = describe(bytes),
    compression = Compression.NONE,
    sent = bytes,
  }: {
    readonly snapshot?: ReturnType<typeof describe>;
    readonly compression?: Compression;
    readonly sent?: Uint8Array;
  } = {},
): ReturnType<Client['uploadSnapshot']> {
  const pieceBytes = 100_000;
  return backup.uploadSnapshot(
    (async function* () {
      await Promise.resolve();
      for (let at = 0; at < sent.length || at === 0; at += pieceBytes) {
        const data = sent.subarray(at, at + pieceBytes);
        const chunk = { data, offset: BigInt(at), last: at + pieceBytes >= sent.length };
        yield at === 0 ? { snapshot, compression, chunk } : { chunk };
      }
    })(),
  );
}

test('a snapshot is made, listed, given in every compression, taken again and deleted', async (t) => {
  const { admin, backup, kept } = await startBench(t);
  for (const manifest of allText.split('---\n')) await admin.applyObject({ manifest });
  const { snapshot } = await backup.createSnapshot({ snapshotId: 'one' });
  assert.deepEqual([snapshot?.state?.objects, snapshot?.state?.pipelines], [3, 1]);
  const plain = await download(backup, 'one');
  assert.equal(BigInt(plain.length), snapshot?.sizeBytes);
  const digest = createHash('sha256').update(plain).digest('hex');
  assert.equal(digest, Buffer.from(snapshot?.sha256 ?? []).toString('hex'));
  const gzip = await download(backup, 'one', { compression: Compression.GZIP });
  assert.deepEqual(gunzipSync(gzip), plain);
  const zstd = await download(backup, 'one', { compression: Compression.ZSTD });
  assert.deepEqual(zstdDecompressSync(zstd), plain);
  assert.deepEqual(await download(backup, 'one', { offset: 10n }), plain.subarray(10));
  for (const [id, compression, sent] of [
    ['none', Compression.NONE, plain],
    ['gzip', Compression.GZIP, gzip],
    ['zstd', Compression.ZSTD, zstd],
  ] as const) {
    const taken = await upload(backup, plain, {
      ...{ compression, sent },
      snapshot: describe(plain, id),
    });
    assert.deepEqual(
      { ...taken.snapshot, snapshotId: 'one' },
      { ...snapshot, sha256: taken.snapshot?.sha256 },
    );
  }
  const first = await backup.listSnapshots({ pageSize: 3 });
  const rest = await backup.listSnapshots({ pageToken: first.nextPageToken });
  const ids = [...first.snapshots, ...rest.snapshots].map(({ snapshotId }) => snapshotId);
  assert.deepEqual(ids, ['gzip', 'none', 'one', 'zstd']);
  for (const snapshotId of [...ids, 'one']) await backup.deleteSnapshot({ snapshotId });
  assert.deepEqual(await kept(), []);
});

test('a restore brings the objects back, and only where it is asked for in so many words', async (t) => {
  const { admin, backup } = await startBench(t);
  for (const manifest of allText.split('---\n')) await admin.applyObject({ manifest });
  await backup.createSnapshot({ snapshotId: 'one' });
  const { state: before } = await backup.getStateMetadata({});
  const name = { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' };
  await admin.deleteObject({ name });
  await admin.applyObject({ manifest: sourceText.replace('name: in', 'name: later') });
  const { clusterId = '' } = before ?? {};
  const request = { snapshotId: 'one', clusterId, requestId: 'r-1' };
  await assert.rejects(
    backup.restoreSnapshot({ ...request, clusterId: '' }),
    saying('ETL_UNSAFE', /not empty/),
  );
  await assert.rejects(
    backup.restoreSnapshot({ ...request, clusterId: 'another' }),
    saying('ETL_UNSAFE', /cluster another/),
  );
  const tried = await backup.restoreSnapshot({ ...request, validateOnly: true });
  assert.deepEqual(tried.state?.objects, 3);
  await assert.rejects(admin.getObject({ name }), saying('ETL_NOT_FOUND', /./));
  const done = await backup.restoreSnapshot(request);
  assert.match(done.warnings.join(), /2 changes were made since the snapshot/);
  await admin.getObject({ name });
  const { state: after } = await backup.getStateMetadata({});
  assert.deepEqual([after?.objects, after?.pipelines], [3, 1]);
  assert((after?.revision ?? 0n) > (before?.revision ?? 0n) + 1_000_000n);
  await admin.deleteObject({ name });
  await backup.restoreSnapshot(request);
  await assert.rejects(
    admin.getObject({ name }),
    saying('ETL_NOT_FOUND', /./),
    'a request that comes again takes effect once',
  );
});

test('a snapshot of another cluster is restored only where that is allowed', async (t) => {
  const lost = await startBench(t);
  await lost.admin.applyObject({ manifest: sourceText });
  await lost.backup.createSnapshot({ snapshotId: 'one' });
  const bytes = await download(lost.backup, 'one');
  const fresh = await startBench(t, 6);
  await upload(fresh.backup, bytes);
  await assert.rejects(
    fresh.backup.restoreSnapshot({ snapshotId: 'up', validateOnly: true }),
    saying('ETL_UNSAFE', /is of cluster/),
  );
  await fresh.backup.restoreSnapshot({ snapshotId: 'up', allowOtherCluster: true });
  const { objects } = await fresh.admin.listObjects({});
  assert.deepEqual(
    objects.map(({ name }) => name?.name),
    ['in'],
  );
});

test('what is no snapshot is refused, and nothing of it is kept', async (t) => {
  const { admin, backup, kept } = await startBench(t);
  await admin.applyObject({ manifest: sourceText });
  await backup.createSnapshot({ snapshotId: 'one' });
  const good = await download(backup, 'one');
  const later = Buffer.from(good);
  later.writeUInt32LE(2, 8);
  const bomb = Buffer.alloc(50_000_000);
  const spoilt = Buffer.from(good);
  spoilt[spoilt.length - 1] = (spoilt.at(-1) ?? 0) ^ 1;
  const told = describe(good);
  const cases: readonly (readonly [string, RegExp, () => Promise<unknown>])[] = [
    [
      'ETL_INVALID_ARGUMENT',
      /were announced/,
      () => upload(backup, good.subarray(0, -7), { snapshot: told }),
    ],
    ['ETL_INVALID_ARGUMENT', /SHA-256/, () => upload(backup, spoilt, { snapshot: told })],
    ['ETL_INVALID_ARGUMENT', /last one is not whole/, () => upload(backup, good.subarray(0, -7))],
    [
      'ETL_INVALID_ARGUMENT',
      /no backup/,
      () => upload(backup, Buffer.from('PK\u0003\u0004, a zip file')),
    ],
    ['ETL_UNSUPPORTED', /format version 2/, () => upload(backup, later)],
    [
      'ETL_INVALID_ARGUMENT',
      /more comes than/,
      () => upload(backup, good, { sent: zstdCompressSync(bomb), compression: Compression.ZSTD }),
    ],
    [
      'ETL_INVALID_ARGUMENT',
      /more comes than/,
      () => upload(backup, good, { sent: gzipSync(bomb), compression: Compression.GZIP }),
    ],
    [
      'ETL_INVALID_ARGUMENT',
      /not compressed/,
      () => upload(backup, good, { compression: Compression.GZIP }),
    ],
    [
      'ETL_INVALID_ARGUMENT',
      /not compressed/,
      () => upload(backup, good, { compression: Compression.ZSTD }),
    ],
    [
      'ETL_CONFLICT',
      /exists already/,
      () => upload(backup, good, { snapshot: describe(good, 'one') }),
    ],
    [
      'ETL_LIMIT_EXCEEDED',
      /size_bytes/,
      () => upload(backup, good, { snapshot: { ...told, sizeBytes: 2n ** 40n } }),
    ],
    [
      'ETL_INVALID_ARGUMENT',
      /sha256/,
      () => upload(backup, good, { snapshot: { ...told, sha256: Buffer.from('x') } }),
    ],
  ];
  for (const [code, message, run] of cases) {
    await assert.rejects(run(), saying(code, message));
    assert.deepEqual(await kept(), ['one']);
  }
});

test('names that would leave the folder are refused wherever one is given', async (t) => {
  const { backup, kept } = await startBench(t);
  for (const snapshotId of ['..', '../x', '.hidden', 'a/b', 'a\\b', 'a\u0000b', 'x'.repeat(129)]) {
    const refused = saying('ETL_INVALID_ARGUMENT', /snapshot_id/);
    await assert.rejects(backup.createSnapshot({ snapshotId }), refused);
    await assert.rejects(backup.deleteSnapshot({ snapshotId }), refused);
    await assert.rejects(backup.restoreSnapshot({ snapshotId }), refused);
    await assert.rejects(download(backup, snapshotId), refused);
    const bytes = Buffer.from('x');
    await assert.rejects(upload(backup, bytes, { snapshot: describe(bytes, snapshotId) }), refused);
  }
  await backup.createSnapshot({ snapshotId: 'a..b_-c' });
  assert.deepEqual(await kept(), ['a..b_-c']);
});

test('of two snapshots at once the second is refused', async (t) => {
  const { backup } = await startBench(t);
  const outcomes = await Promise.allSettled(
    ['a', 'b'].map((snapshotId) => backup.createSnapshot({ snapshotId })),
  );
  const refused = outcomes.filter(({ status }) => status === 'rejected');
  assert.equal(refused.length, 1);
  saying('ETL_CONFLICT', /is being made/)((refused[0] as PromiseRejectedResult).reason);
});

test('a caller that leaves in the middle of an upload leaves nothing behind', async (t) => {
  const { backup, kept } = await startBench(t);
  const gone = new AbortController();
  const bytes = Buffer.alloc(1000);
  const call = backup.uploadSnapshot(
    (async function* () {
      yield { snapshot: describe(bytes), chunk: { data: bytes.subarray(0, 10), offset: 0n } };
      while ((await kept().catch(() => [])).length === 0) await Promise.resolve();
      gone.abort();
      await Promise.withResolvers<void>().promise;
    })(),
    { signal: gone.signal },
  );
  await assert.rejects(call, saying('ETL_CANCELLED', /./));
  while ((await kept()).length > 0) await Promise.resolve();
});

test('a snapshot that was damaged at the router is not restored', async (t) => {
  const { admin, backup, directory } = await startBench(t);
  await admin.applyObject({ manifest: sourceText });
  await backup.createSnapshot({ snapshotId: 'one' });
  const path = join(directory, 'router', 'backups', 'one', 'state');
  const bytes = await readFile(path);
  bytes[100] = (bytes.at(100) ?? 0) ^ 1;
  await writeFile(path, bytes);
  const { state } = await backup.getStateMetadata({});
  const request = { snapshotId: 'one', clusterId: state?.clusterId ?? '' };
  await assert.rejects(backup.restoreSnapshot(request), saying('ETL_STORAGE_CORRUPT', /SHA-256/));
  assert.equal((await admin.listObjects({})).objects.length, 1);
});

test('a caller whose bytes can not even be given up is refused all the same, and ends nothing else', async (t) => {
  const { running, kept } = await startBench(t);
  const chunks: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.resolve({ done: false, value: Buffer.from('more than is announced') }),
      return: () => Promise.reject(new Error('the connection is in an odd state')),
    }),
  };
  const expected = { id: 'up', bytes: 3, sha256: '0'.repeat(64), compression: 'none' } as const;
  await assert.rejects(running.router.backups.receive(expected, chunks), {
    code: /^ETL_(INVALID_ARGUMENT|LIMIT_EXCEEDED)$/,
  });
  assert.deepEqual(await kept(), []);
});
