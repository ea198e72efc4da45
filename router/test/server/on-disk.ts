// A router of one node on a real disk: the log, `level` for the rows, and nothing shared between two openings but the
// directory. Run as a program it works until it is killed, and says what it was promised.

import { join } from 'node:path';
import process from 'node:process';
import { positionOfCount, seededRandom, silentLogger, systemClock } from '@etl-router/core';
import { Level } from 'level';
import type { CommittedEntry, ReplicatedState } from '../../src/consensus/consensus.ts';
import { SingleNode } from '../../src/consensus/single-node.ts';
import { Router } from '../../src/server/router.ts';
import { StateHost } from '../../src/server/state-host.ts';
import { Log } from '../../src/storage/log.ts';
import type { LogPosition } from '../../src/storage/log-types.ts';
import { nodeDisk } from '../../src/storage/node-disk.ts';
import { allText } from './harness.ts';

const appliedKey = Buffer.from('!applied');

/** Rows in `level`, each batch with the position of its last entry. */
class LevelState implements ReplicatedState {
  readonly host: StateHost;
  applied: LogPosition;
  readonly #level: Level<Uint8Array, Uint8Array>;

  private constructor(
    level: Level<Uint8Array, Uint8Array>,
    stored: { readonly host: StateHost; readonly applied: LogPosition },
  ) {
    this.#level = level;
    this.host = stored.host;
    this.applied = stored.applied;
  }

  static async open(directory: string): Promise<LevelState> {
    const level = new Level<Uint8Array, Uint8Array>(directory, {
      keyEncoding: 'view',
      valueEncoding: 'view',
    });
    let applied: LogPosition = { index: 0, term: 0 };
    const rows: [Uint8Array, Uint8Array][] = [];
    for await (const [key, value] of level.iterator()) {
      if (appliedKey.equals(key))
        applied = JSON.parse(Buffer.from(value).toString()) as LogPosition;
      else rows.push([key, value]);
    }
    return new LevelState(level, { host: new StateHost(rows), applied });
  }

  async apply(entries: readonly CommittedEntry[]): Promise<readonly Uint8Array[]> {
    const results: Uint8Array[] = [];
    const batch = this.#level.batch();
    for (const { data, index, term } of entries) {
      const { result, changes } = this.host.apply(data);
      for (const { key, value } of changes) {
        if (value === undefined) batch.del(key);
        else batch.put(key, value);
      }
      results.push(result);
      this.applied = { index, term };
    }
    batch.put(appliedKey, Buffer.from(JSON.stringify(this.applied)));
    await batch.write();
    return results;
  }

  snapshot(): Promise<LogPosition> {
    return Promise.reject(new Error('these tests stay below the interval of snapshots'));
  }

  close(): Promise<void> {
    return this.#level.close();
  }
}

export interface OnDisk {
  readonly router: Router;
  readonly host: StateHost;
  close(): Promise<void>;
}

/** Opens the router in a directory; `create` for the first time. */
export async function openOnDisk(directory: string, create: boolean): Promise<OnDisk> {
  const log = await Log.open({
    disk: nodeDisk,
    directory: join(directory, 'log'),
    clusterId: 'test',
    logId: 1,
    clock: systemClock,
    create,
  });
  const state = await LevelState.open(join(directory, 'applied'));
  const consensus = new SingleNode({ log, clusterId: 'test', nodeId: 1 });
  await consensus.start(state);
  const router = new Router({
    host: state.host,
    consensus,
    nodeName: '1',
    clock: systemClock,
    random: seededRandom(3),
    logger: silentLogger,
  });
  return {
    router,
    host: state.host,
    async close() {
      await router.close();
      await consensus.close();
      await state.close();
    },
  };
}

/** Applies a pipeline, opens four lanes and commits to them in turn; says each commit that was promised. */
async function work(directory: string, create: boolean): Promise<never> {
  const { router } = await openOnDisk(directory, create);
  router.lead();
  await router.objects.applyText(allText);
  await router.sidecars.register({
    sidecarId: 'shop/pod',
    namespace: 'shop',
    offers: ['connectors'],
  });
  await router.planner.settled();
  const { planVersion = 0 } = router.sidecars.assignment('shop/orders') ?? {};
  const names = ['0', '1', '2', '3'].map((partition) => ({ source: 'in', partition }));
  const request = { pipelineId: 'shop/orders', sidecarId: 'shop/pod', planVersion, lanes: names };
  const lanes = await router.positions.openLanes(request);
  for (let count = committedSoFar(router) + 1; ; count++) {
    const { epoch, partition, source } = lanes[count % 4] as (typeof lanes)[number];
    const lane = { pipeline: 'shop/orders', source, partition };
    const refused = await router.positions.commit([
      { lane, epoch, position: positionOfCount(count) },
    ]);
    process.stdout.write(refused.length === 0 ? `${count}\n` : 'refused\n');
  }
}

/** The highest count that was committed to any lane. */
export function committedSoFar(router: Router): number {
  const counts = router.positions
    .list('shop/orders')
    .map(({ position }) =>
      position === undefined ? 0 : Number(Buffer.from(position).readBigUInt64BE()),
    );
  return Math.max(0, ...counts);
}

const [, , directory, mode] = process.argv;
if (import.meta.main && directory !== undefined) await work(directory, mode === 'create');
