// BackupService over the backups of this router. Bytes go through in the pieces they are read in, at the caller's pace;
// a caller that leaves in the middle leaves nothing behind.

import type { MessageInitShape } from '@bufbuild/protobuf';
import { toCount } from '@etl-router/proto';
import {
  type BackupService,
  Compression,
  type SnapshotInfoSchema,
  type StateMetadataSchema,
  type StreamSnapshotResponseSchema,
  type UploadSnapshotRequest,
} from '@etl-router/proto/backup';
import type { Implementation } from '@etl-router/proto/grpc';
import type { ExpectedBackup, StateSummary } from '../../server/backups.ts';
import { type Compression as CompressionWord, compress } from '../../server/compression.ts';
import { checkId, invalid } from '../../state/names.ts';
import type { BackupInfo } from '../../storage/backup-store.ts';
import type { GrpcContext } from './context.ts';
import { fromMs, optional, required, wordOf } from './fields.ts';
import { pageOf } from './pages.ts';
import { untilStopping } from './streams.ts';

const words: { readonly [number: number]: CompressionWord } = {
  [Compression.UNSPECIFIED]: 'none',
  [Compression.NONE]: 'none',
  [Compression.GZIP]: 'gzip',
  [Compression.ZSTD]: 'zstd',
};
const chunkMaxBytes: number = 1024 * 1024;
const pages = { defaultSize: 100, maxSize: 1000 };

/** The handlers of etl.backup.v1.BackupService. */
export function createBackupService(context: GrpcContext): Implementation<typeof BackupService> {
  const { backups } = context.router;
  return {
    createSnapshot: async ({ snapshotId }, { signal }) => ({
      snapshot: fromInfo(await backups.create(optional(snapshotId), signal)),
    }),
    streamSnapshot: ({ snapshotId, compression, offset }, { signal }) =>
      streamOf(context, {
        snapshotId: required('snapshot_id', snapshotId),
        compression: wordOf('compression', words, compression),
        offset: toCount(offset, 'offset'),
        signal,
      }),
    uploadSnapshot: async (requests, { signal }) => {
      const { expected, chunks } = await readUpload(untilStopping(requests, context.stopping));
      return { snapshot: fromInfo(await backups.receive(expected, chunks, signal)) };
    },
    restoreSnapshot: async (request, { signal }) => {
      const { snapshotId, validateOnly, clusterId, requestId, allowOtherCluster } = request;
      if (requestId !== '') checkId('request_id', requestId);
      const { state, warnings } = await backups.restore({
        snapshotId: required('snapshot_id', snapshotId),
        ...{ validateOnly, allowOtherCluster, signal },
        clusterId: optional(clusterId),
        requestId: optional(requestId),
      });
      return { state: fromSummary(state), warnings: [...warnings] };
    },
    listSnapshots: async (request) => {
      const all = await backups.list();
      const { items, nextPageToken } = pageOf(all, newestFirst, request, pages);
      return { snapshots: items.map(fromInfo), nextPageToken };
    },
    deleteSnapshot: async ({ snapshotId }) => {
      await backups.delete(required('snapshot_id', snapshotId));
      return {};
    },
    getStateMetadata: async (_request, { signal }) => {
      const { commitIndex, term, ...state } = await backups.state(signal);
      return {
        state: fromSummary(state),
        commitIndex: BigInt(commitIndex),
        term: BigInt(term),
      };
    },
  };
}

/** A key whose order is that of the list. */
function newestFirst({ createdAtMs, id }: BackupInfo): readonly string[] {
  return [String(Number.MAX_SAFE_INTEGER - createdAtMs).padStart(16, '0'), id];
}

async function* streamOf(
  { router: { backups } }: GrpcContext,
  wanted: {
    readonly snapshotId: string;
    readonly compression: CompressionWord;
    readonly offset: number;
    readonly signal: AbortSignal;
  },
): AsyncGenerator<MessageInitShape<typeof StreamSnapshotResponseSchema>, void, void> {
  const { snapshotId, compression, offset, signal } = wanted;
  const info = await backups.get(snapshotId);
  if (offset > 0 && compression !== 'none')
    throw invalid('offset', 'goes with compression none only');
  if (offset > info.bytes) throw invalid('offset', `is behind the ${info.bytes} bytes there are`);
  let at = offset;
  let isFirst = true;
  for await (const data of compress(backups.read(snapshotId, offset), compression)) {
    signal.throwIfAborted();
    const chunk = { data, offset: BigInt(at), last: false };
    yield isFirst ? { snapshot: fromInfo(info), chunk } : { chunk };
    isFirst = false;
    at += data.length;
  }
  const chunk = { offset: BigInt(at), last: true };
  yield isFirst ? { snapshot: fromInfo(info), chunk } : { chunk };
}

/** What is announced with the first message, and the bytes of all of them. */
async function readUpload(requests: AsyncGenerator<UploadSnapshotRequest, void, void>): Promise<{
  readonly expected: ExpectedBackup;
  readonly chunks: AsyncIterable<Uint8Array>;
}> {
  const first = await requests.next();
  if (first.done === true) throw invalid('snapshot', 'is missing: nothing came');
  const snapshot = required('snapshot', first.value.snapshot);
  const expected = {
    id: required('snapshot.snapshot_id', snapshot.snapshotId),
    bytes: toCount(snapshot.sizeBytes, 'snapshot.size_bytes'),
    sha256: Buffer.from(snapshot.sha256).toString('hex'),
    compression: wordOf('compression', words, first.value.compression),
  };
  return { expected, chunks: chunksOf(first.value, requests) };
}

async function* chunksOf(
  first: UploadSnapshotRequest,
  rest: AsyncGenerator<UploadSnapshotRequest, void, void>,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  let isLast = false;
  for (let request: UploadSnapshotRequest | undefined = first; request !== undefined; ) {
    const { chunk } = request;
    if (request !== first && request.snapshot !== undefined)
      throw invalid('snapshot', 'comes with the first chunk only');
    if (chunk !== undefined) {
      if (isLast) throw invalid('chunk', 'comes behind the last one');
      if (chunk.data.length > chunkMaxBytes)
        throw invalid('chunk.data', `has ${chunk.data.length} bytes, at most ${chunkMaxBytes}`);
      if (chunk.offset !== BigInt(at))
        throw invalid('chunk.offset', `is ${chunk.offset}, ${at} would go on`);
      at += chunk.data.length;
      isLast = chunk.last;
      if (chunk.data.length > 0) yield chunk.data;
    }
    const next: IteratorResult<UploadSnapshotRequest, void> = await rest.next();
    request = next.done === true ? undefined : next.value;
  }
  if (!isLast) throw invalid('chunk', 'the last one did not come');
}

function fromInfo(info: BackupInfo): MessageInitShape<typeof SnapshotInfoSchema> {
  return {
    snapshotId: info.id,
    sizeBytes: BigInt(info.bytes),
    sha256: Buffer.from(info.sha256, 'hex'),
    commitIndex: BigInt(info.index),
    term: BigInt(info.term),
    createdAt: fromMs(info.createdAtMs),
    state: fromSummary(info),
  };
}

function fromSummary(state: StateSummary): MessageInitShape<typeof StateMetadataSchema> {
  const { clusterId, revision, formatVersion, objects } = state;
  const { pipelines, services, sidecars, lanes, groups } = state;
  return {
    ...{ clusterId, revision, formatVersion, objects },
    ...{ pipelines, services, sidecars, lanes, groups },
  };
}
