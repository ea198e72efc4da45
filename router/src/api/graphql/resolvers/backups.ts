// Resolvers of snapshots. Their bytes go over HTTP beside GraphQL: `/backups/<id>`.

import type { StateSummary } from '../../../server/backups.ts';
import type { BackupInfo } from '../../../storage/backup-store.ts';
import { answer } from './answers.ts';
import type { RouterContext } from './context.ts';

interface RestoreSnapshot {
  readonly id: string;
  readonly validateOnly: boolean;
  readonly clusterId?: string | null;
  readonly allowOtherCluster: boolean;
  readonly requestId?: string | null;
}

/** `snapshots` and `stateMetadata`, and the mutations of snapshots. */
export function backupResolvers({ router }: RouterContext): object {
  const { backups } = router;
  return {
    Query: {
      snapshots: async () => (await backups.list()).map(fromInfo),
      stateMetadata: async () => fromSummary(await backups.state()),
    },
    Mutation: {
      createSnapshot: async (_: unknown, { id }: { id?: string | null }) =>
        fromInfo(await backups.create(id ?? undefined)),
      deleteSnapshot: (_: unknown, { id }: { id: string }) =>
        answer(async () => {
          await backups.delete(id);
          return `snapshot ${id} is gone`;
        }),
      restoreSnapshot: async (_: unknown, request: RestoreSnapshot) => {
        const { state, warnings } = await backups.restore({
          snapshotId: request.id,
          validateOnly: request.validateOnly,
          allowOtherCluster: request.allowOtherCluster,
          clusterId: request.clusterId ?? undefined,
          requestId: request.requestId ?? undefined,
        });
        return { state: fromSummary(state), warnings };
      },
    },
  };
}

function fromInfo(info: BackupInfo): object {
  return {
    id: info.id,
    sizeBytes: BigInt(info.bytes),
    sha256: info.sha256,
    commitIndex: BigInt(info.index),
    term: BigInt(info.term),
    createdAt: info.createdAtMs,
    state: fromSummary(info),
  };
}

function fromSummary(state: StateSummary): object {
  const { clusterId, revision, formatVersion, objects } = state;
  const { pipelines, services, sidecars, lanes, groups } = state;
  return {
    ...{ clusterId, revision, formatVersion, objects },
    ...{ pipelines, services, sidecars, lanes, groups },
  };
}
