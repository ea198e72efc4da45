import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { seededRandom } from '@etl-router/core';
import fc from 'fast-check';
import type { AppliedStore } from '../../src/applied/applied-store.ts';
import { LevelStore } from '../../src/applied/level-store.ts';
import { MemoryStore } from '../../src/applied/memory-store.ts';
import { Replica } from '../../src/applied/replica.ts';
import type { RaftNode } from '../../src/raft/node.ts';
import type { Disk } from '../../src/storage/disk.ts';
import type { Log } from '../../src/storage/log.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { nodeDisk } from '../../src/storage/node-disk.ts';
import { listSnapshots } from '../../src/storage/snapshot-file.ts';
import { nodeAlone } from '../raft/alone.ts';
import { clusterId, openLog } from '../storage/log-harness.ts';
import { CountingMachine, rowTexts } from './counting-machine.ts';

interface MemberParts {
  readonly node: RaftNode;
  readonly store: AppliedStore;
  readonly machine: CountingMachine;
}

/** A member: log, consensus, replica and machine. */
class Member {
  readonly node: RaftNode;
  readonly store: AppliedStore;
  readonly machine: CountingMachine;

  private constructor(parts: MemberParts) {
    this.node = parts.node;
    this.store = parts.store;
    this.machine = parts.machine;
  }

  static async open(disk: Disk, path: string, store: AppliedStore): Promise<Member> {
    const exists = (await disk.list(`${path}/log`)).some((name) => name.endsWith('.log'));
    const log: Log = await openLog(disk, `${path}/log`, { create: !exists });
    const machine = new CountingMachine();
    const snapshots = { disk, directory: `${path}/snapshots`, clusterId };
    const replica = await Replica.open({ store, machine, log, snapshots });
    const node = nodeAlone({ log, clusterId, nodeId: 1, snapshotInterval: 20 });
    await node.start(replica);
    return new Member({ node, store, machine });
  }

  async propose(command: string): Promise<string> {
    const { result } = await this.node.propose(Buffer.from(command));
    return Buffer.from(result).toString();
  }

  async close(): Promise<void> {
    await this.node.close();
    await this.store.close();
  }
}

const commandArbitrary: fc.Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.nat(9), fc.nat(99)).map(([key, to]) => `set k${key} ${to}`) },
  { weight: 1, arbitrary: fc.nat(9).map((key) => `drop k${key}`) },
);

test('answers, rows of the store and rows of the machine agree after any restarts', async () => {
  const life = fc.record({
    commands: fc.array(commandArbitrary, { maxLength: 60 }),
    clean: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 5 }), async (lives) => {
      const disk = new MemoryDisk({ random: seededRandom(5) });
      const twin = new CountingMachine();
      let store: AppliedStore = new MemoryStore();
      for (const { commands, clean } of lives) {
        const member = await Member.open(disk, '/data', store);
        assert.deepEqual(member.machine.sorted, twin.sorted);
        for (const command of commands) {
          const { result } = twin.apply(Buffer.from(command));
          assert.equal(await member.propose(command), Buffer.from(result).toString());
        }
        assert.deepEqual(rowTexts(await member.store.load()), twin.sorted);
        await member.close();
        if (!clean) store = new MemoryStore();
      }
    }),
    { numRuns: 60 },
  );
});

test('LevelDB and the log come back together, from a clean stop and from a crash', async () => {
  const path = await mkdtemp(`${tmpdir()}/etl-replica-`);
  const twin = new CountingMachine();
  try {
    for (let life = 0; life < 4; life++) {
      const store = await LevelStore.open(`${path}/applied`);
      assert.equal(store.origin, ['new', 'kept', 'unclean stop', 'kept'][life]);
      const member = await Member.open(nodeDisk, path, store);
      assert.deepEqual(member.machine.sorted, twin.sorted);
      for (let at = 0; at < 45; at++) {
        const command = at % 5 === 4 ? `drop k${at % 9}` : `set k${at % 17} ${life}-${at}`;
        twin.apply(Buffer.from(command));
        await member.propose(command);
      }
      assert.deepEqual(rowTexts(await member.store.load()), twin.sorted);
      await member.close();
      // Without what the stop wrote down, the next start finds what a crash leaves.
      if (life === 1) await rm(`${path}/applied.clean`);
    }
    const snapshots = { disk: nodeDisk, directory: `${path}/snapshots`, clusterId };
    assert.ok((await listSnapshots(snapshots)).length >= 1);
  } finally {
    await rm(path, { recursive: true });
  }
});

test('a missing snapshot is refused, not taken for an empty state', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  const member = await Member.open(disk, '/data', new MemoryStore());
  for (let at = 0; at < 50; at++) await member.propose(`set k${at} ${at}`);
  await member.close();
  for (const path of disk.paths()) if (path.endsWith('.snap')) disk.erase(path);
  await assert.rejects(Member.open(disk, '/data', new MemoryStore()), {
    code: 'ETL_STORAGE_CORRUPT',
    message: /the snapshot is missing/,
  });
});

test('a damaged snapshot is refused, whether or not the rows are kept', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  const store = new MemoryStore();
  const member = await Member.open(disk, '/data', store);
  for (let at = 0; at < 50; at++) await member.propose(`set k${at} ${at}`);
  await member.close();
  const path = disk.paths().findLast((each) => each.endsWith('.snap')) as string;
  const whole = disk.peek(path);
  for (let at = 0; at < whole.length; at += 5) {
    disk.poke(path, whole.with(at, (whole[at] as number) ^ (1 << (at % 8))));
    for (const kept of [store, new MemoryStore()])
      await assert.rejects(Member.open(disk, '/data', kept), { code: 'ETL_STORAGE_CORRUPT' });
  }
  disk.poke(path, whole);
  await (await Member.open(disk, '/data', store)).close();
});

test('a power failure at any operation, snapshots included, keeps the answered state', async () => {
  let operations = Number.POSITIVE_INFINITY;
  let crashes = 0;
  for (let at = 1; at <= operations; at++) {
    let failAt = at;
    const disk = new MemoryDisk({
      random: seededRandom(at),
      fault: ({ number }) => (number === failAt ? 'power' : undefined),
    });
    const twin = new CountingMachine();
    let answered = 0;
    const life = async (): Promise<void> => {
      const member = await Member.open(disk, '/data', new MemoryStore());
      for (let step = 0; step < 70; step++) {
        await member.propose(`set k${step} ${step}`);
        answered += 1;
      }
      await member.close();
      operations = disk.operations;
    };
    await Promise.race([life(), disk.powerLost]);
    failAt = 0;
    // What had an answer before the power failed goes on to its next operation, which never ends.
    await new Promise((resolve) => setImmediate(resolve));
    disk.restart();
    crashes += 1;
    if (answered === 0) continue;
    const member = await Member.open(disk, '/data', new MemoryStore());
    const found = member.machine.rows.size;
    assert.ok(found >= answered && found <= answered + 1, `${found} of ${answered} at ${at}`);
    for (let step = 0; step < found; step++) twin.apply(Buffer.from(`set k${step} ${step}`));
    assert.deepEqual(member.machine.sorted, twin.sorted);
    await member.close();
  }
  assert.ok(crashes > 100);
});

test('a command that can not be applied stops the member and names the entry', async () => {
  const disk = new MemoryDisk({ random: seededRandom(1) });
  const member = await Member.open(disk, '/data', new MemoryStore());
  await assert.rejects(member.propose('explode now'), {
    code: 'ETL_INTERNAL',
    message: 'entry 3 can not be applied: unknown command explode',
  });
  await member.close();
});

test('an answer waits for the rows', async () => {
  const gate = Promise.withResolvers<void>();
  class SlowStore extends MemoryStore {
    override async apply(...args: Parameters<MemoryStore['apply']>): Promise<void> {
      if (args[0].some((each) => 'key' in each && String(each.key) === 'a')) await gate.promise;
      await super.apply(...args);
    }
  }
  const store = new SlowStore();
  const member = await Member.open(new MemoryDisk({ random: seededRandom(1) }), '/data', store);
  let answered = false;
  const answer = member.propose('set a 1').then(() => {
    answered = true;
  });
  while (member.machine.rows.size === 0) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(answered, false);
  gate.resolve();
  await answer;
  assert.deepEqual(rowTexts(await store.load()), ['a=1']);
  await member.close();
});
