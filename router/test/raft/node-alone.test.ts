import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock, seededRandom } from '@etl-router/core';
import type { RaftNode, RaftNodeOptions } from '../../src/raft/node.ts';
import type { LogPosition } from '../../src/storage/log-types.ts';
import { type DiskFault, type DiskOperation, MemoryDisk } from '../../src/storage/memory-disk.ts';
import { append, clusterId, entriesFrom, openLog } from '../storage/log-harness.ts';
import { nodeAlone } from './alone.ts';
import { FakeState } from './fake-state.ts';

const directory = '/data/log';
const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

function newDisk(fault?: (operation: DiskOperation) => DiskFault | undefined): MemoryDisk {
  return new MemoryDisk({ random: seededRandom(1), ...(fault && { fault }) });
}

async function openNode(
  disk: MemoryDisk,
  options: Partial<RaftNodeOptions> & { readonly create: boolean },
): Promise<RaftNode> {
  const { create, ...rest } = options;
  const log = await openLog(disk, directory, { create });
  return nodeAlone({ log, clusterId, nodeId: 77, clock: new ManualClock(), ...rest });
}

/** Space that the files of the log take: each is written ahead 512 bytes at a time, and a hole behind that. */
function spaceOf(disk: MemoryDisk): number {
  return disk
    .paths()
    .map((path) => disk.peek(path).findLastIndex((byte) => byte !== 0) + 1)
    .reduce((sum, used) => sum + Math.ceil(used / 512) * 512, 0);
}

async function startNew(
  options: Partial<RaftNodeOptions> = {},
): Promise<{ disk: MemoryDisk; node: RaftNode; state: FakeState }> {
  const disk = newDisk();
  const node = await openNode(disk, { create: true, ...options });
  const state = new FakeState();
  await node.start(state);
  return { disk, node, state };
}

test('every start is a term of its own, with a vote and an entry that begins it', async () => {
  const disk = newDisk();
  // The first entry founds the cluster in term 1.
  for (const term of [2, 3, 4]) {
    const node = await openNode(disk, { create: term === 2 });
    await node.start(new FakeState());
    const status = node.status();
    assert.equal(status.term, term);
    assert.equal(status.role, 'leader');
    assert.equal(status.leaderId, 77);
    assert.equal(status.lastIndex, term);
    assert.equal(status.lastApplied, term);
    await node.close();
  }
  const log = await openLog(disk, directory, { create: false });
  assert.deepEqual({ ...log.hardState, commit: 0 }, { term: 4, vote: 77, commit: 0 });
  assert.equal(log.term(3), 3);
});

test('a proposal is answered once it is durable and applied', async () => {
  const { node, state } = await startNew();
  const { index, term, result } = await node.propose(bytes('hello'));
  assert.deepEqual({ index, term, result: [...result] }, { index: 3, term: 2, result: [5] });
  assert.deepEqual(state.commands, ['hello']);
  await node.close();
});

test('proposals take effect in the order of the calls, and each gets its own answer', async () => {
  const { node, state } = await startNew();
  const texts = Array.from({ length: 200 }, (_, at) => 'x'.repeat(1 + (at % 90)));
  const answers = await Promise.all(texts.map((text) => node.propose(bytes(text))));
  assert.deepEqual(state.commands, texts);
  assert.deepEqual(
    answers.map(({ index, result }) => [index, result[0]]),
    texts.map((text, at) => [at + 3, text.length]),
  );
  await node.close();
});

test('a restart replays what the state has not applied', async () => {
  const { disk, node, state } = await startNew();
  for (const text of ['a', 'b', 'c']) await node.propose(bytes(text));
  const half: LogPosition = { index: 3, term: 2 };
  await node.close();
  const again = await openNode(disk, { create: false });
  const behind = new FakeState(half, state.membership);
  await again.start(behind);
  assert.deepEqual(behind.commands, ['b', 'c']);
  assert.deepEqual(state.commands, ['a', 'b', 'c']);
  await again.close();
});

test('what was appended and never answered takes effect after a restart', async () => {
  const disk = newDisk();
  const before = await openNode(disk, { create: true });
  await before.start(new FakeState());
  await before.close();
  const log = await openLog(disk, directory, { create: false });
  const hardState = { ...log.hardState, term: 3 };
  await append(log, { hardState, entries: entriesFrom(3, 3, ['unanswered']) });
  await log.close();
  const node = await openNode(disk, { create: false });
  const state = new FakeState();
  await node.start(state);
  assert.deepEqual(state.commands, ['unanswered']);
  await node.close();
});

test('a state that is ahead of the log, or of another one, is refused', async () => {
  const { disk, node } = await startNew();
  await node.close();
  for (const applied of [
    { index: 9, term: 1 },
    { index: 1, term: 2 },
  ]) {
    const again = await openNode(disk, { create: false });
    await assert.rejects(again.start(new FakeState(applied)), {
      code: 'ETL_STORAGE_CORRUPT',
      message: /delete the directory applied\/ to rebuild it/,
    });
    await again.close();
  }
});

test('nothing is served before the start and after the close', async () => {
  const node = await openNode(newDisk(), { create: true });
  await assert.rejects(node.propose(bytes('early')), { code: 'ETL_UNAVAILABLE', retryable: true });
  await assert.rejects(node.readIndex(), { code: 'ETL_UNAVAILABLE' });
  await node.start(new FakeState());
  await node.close();
  await node.close();
  await assert.rejects(node.propose(bytes('late')), { code: 'ETL_CANCELLED' });
  assert.equal(node.status().role, 'closed');
});

test('an empty and a too large command are refused without a trace', async () => {
  const { node } = await startNew();
  await assert.rejects(node.propose(new Uint8Array(0)), { code: 'ETL_INVALID_ARGUMENT' });
  await assert.rejects(node.propose(new Uint8Array(1024 * 1024 + 1)), {
    code: 'ETL_LIMIT_EXCEEDED',
    retryable: false,
    message: /has 1048577 bytes, at most 1048576 fit/,
  });
  assert.equal(node.status().lastIndex, 2);
  const { index } = await node.propose(new Uint8Array(1024 * 1024));
  assert.equal(index, 3);
  await node.close();
});

test('more proposals than may wait are refused as retryable, by count and by bytes', async () => {
  const { node } = await startNew({ proposals: { maxCount: 3, maxBytes: 100 } });
  const waiting = ['a', 'b', 'c'].map((text) => node.propose(bytes(text)));
  await assert.rejects(node.propose(bytes('d')), { code: 'ETL_LIMIT_EXCEEDED', retryable: true });
  await Promise.all(waiting);
  const large = node.propose(new Uint8Array(90));
  await assert.rejects(node.propose(new Uint8Array(11)), {
    code: 'ETL_LIMIT_EXCEEDED',
    retryable: true,
    message: /100 bytes of proposals already wait/,
  });
  await large;
  await node.propose(bytes('e'));
  assert.equal(node.status().pendingProposals, 0);
  await node.close();
});

test('a caller that leaves is released, and its command takes effect all the same', async () => {
  const { node, state } = await startNew();
  const early = AbortSignal.abort();
  await assert.rejects(node.propose(bytes('never sent'), { signal: early }), {
    code: 'ETL_CANCELLED',
    message: /before the command was sent/,
  });
  const leaving = new AbortController();
  const proposal = node.propose(bytes('sent'), { signal: leaving.signal });
  await Promise.resolve();
  assert.equal(node.status().lastIndex, 3, 'it is in the log');
  leaving.abort();
  await assert.rejects(proposal, { code: 'ETL_CANCELLED', message: /may still take effect/ });
  await node.readIndex();
  await node.propose(bytes('next'));
  assert.deepEqual(state.commands, ['sent', 'next']);
  await node.close();
});

test('a read index covers every answered proposal and waits until it is applied', async () => {
  const { node, state } = await startNew();
  await node.propose(bytes('a'));
  assert.equal(await node.readIndex(), 3);
  const gate = Promise.withResolvers<void>();
  state.before = () => gate.promise;
  const proposal = node.propose(bytes('b'));
  while (node.status().commitIndex < 4) await new Promise((resolve) => setImmediate(resolve));
  let read = 0;
  const reading = node.readIndex().then((index) => {
    read = index;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(read, 0, 'it waits');
  gate.resolve();
  await Promise.all([proposal, reading]);
  assert.equal(read, 4);
  await node.close();
});

test('a snapshot is made every interval, and the log is compacted to it', async () => {
  const { disk, node, state } = await startNew({ snapshotInterval: 50 });
  for (let at = 0; at < 260; at++) await node.propose(bytes(`command ${at}`));
  await node.close();
  assert.deepEqual(
    state.snapshots.map(({ index }) => index),
    [50, 100, 150, 200, 250],
  );
  const again = await openNode(disk, { create: false });
  assert.equal(again.status().snapshotIndex, 250);
  assert.equal(again.status().firstIndex, 251);
  const fromSnapshot = new FakeState({ index: 250, term: 2 }, state.membership);
  await again.start(fromSnapshot);
  assert.equal(fromSnapshot.commands.length, 12);
  await again.close();
});

test('large entries bring a snapshot before the interval is over', async () => {
  const { node, state } = await startNew({ snapshotBytes: 10_000 });
  for (let at = 0; at < 30; at++) await node.propose(new Uint8Array(1000).fill(1));
  await node.close();
  assert.ok(state.snapshots.length >= 2, `${state.snapshots.length} snapshots`);
});

test('a log at 90 % of its quota takes only what frees space, until it is compacted', async () => {
  const disk = newDisk();
  const node = await openNode(disk, { create: true, logQuotaBytes: 20_000 });
  const state = new FakeState();
  const held = Promise.withResolvers<void>();
  const snapshot = state.snapshot.bind(state);
  state.snapshot = async () => {
    await held.promise;
    return snapshot();
  };
  await node.start(state);
  const command = new Uint8Array(500).fill(1);
  let sent = 0;
  while (node.status().logBytes < 18_000) {
    await node.propose(command);
    sent += 1;
  }
  await assert.rejects(node.propose(command), {
    code: 'ETL_LIMIT_EXCEEDED',
    retryable: true,
    message: /^the log takes \d+ bytes of 20000, .*--log-quota-bytes$/,
  });
  assert.equal(await node.readIndex(), sent + 2, 'reads go on');
  await node.propose(command, { frees: true });
  assert.equal(node.status().role, 'leader');
  while (node.status().logBytes < 20_000) await node.propose(command, { frees: true });
  await assert.rejects(node.propose(command, { frees: true }), { code: 'ETL_LIMIT_EXCEEDED' });
  held.resolve();
  while (node.status().logBytes >= 18_000) await new Promise((resolve) => setImmediate(resolve));
  await node.propose(command);
  const { logBytes } = node.status();
  assert.equal(logBytes, spaceOf(disk), 'it counts what is on the disk');
  await node.close();
  const again = await openLog(disk, directory, { create: false });
  assert.equal(again.diskBytes, logBytes, 'and knows it again after a restart');
});

test('a log within a quota is compacted before anything is refused', async () => {
  const { node, state } = await startNew({ logQuotaBytes: 20_000 });
  for (let at = 0; at < 200; at++) await node.propose(new Uint8Array(500).fill(1));
  assert.ok(state.snapshots.length >= 5, `${state.snapshots.length} snapshots`);
  assert.ok(node.status().logBytes < 18_000);
  await node.close();
});

test('a failed write ends it: who waits is told, and nothing is served any more', async () => {
  let failing = false;
  const disk = newDisk(({ kind }) => (failing && kind === 'sync' ? 'EIO' : undefined));
  const node = await openNode(disk, { create: true });
  await node.start(new FakeState());
  await node.propose(bytes('kept'));
  failing = true;
  const doomed = ['a', 'b'].map((text) => node.propose(bytes(text)));
  for (const proposal of doomed) await assert.rejects(proposal, { code: 'ETL_STORAGE_FAILED' });
  assert.equal((await node.failed).code, 'ETL_STORAGE_FAILED');
  await assert.rejects(node.propose(bytes('c')), { code: 'ETL_STORAGE_FAILED' });
  await assert.rejects(node.readIndex(), { code: 'ETL_STORAGE_FAILED' });
  assert.equal(node.status().role, 'failed');
  failing = false;
  await node.close();
});

test('a state that can not apply an entry ends it', async () => {
  const { node, state } = await startNew();
  state.before = () => Promise.reject(new Error('a defect'));
  await assert.rejects(node.propose(bytes('a')), { code: 'ETL_INTERNAL', message: 'a defect' });
  assert.equal((await node.failed).code, 'ETL_INTERNAL');
  await node.close();
});

test('closing answers what is in the log', async () => {
  const { node, state } = await startNew();
  const proposals = ['a', 'b', 'c'].map((text) => node.propose(bytes(text)));
  await node.close();
  const answers = await Promise.all(proposals);
  assert.deepEqual(
    answers.map(({ index }) => index),
    [3, 4, 5],
  );
  assert.deepEqual(state.commands, ['a', 'b', 'c']);
});

test('a power failure at any operation keeps every answered proposal, in order', async () => {
  let operations = Number.POSITIVE_INFINITY;
  for (let at = 1; at <= operations; at++) {
    let failAt = at;
    const disk = new MemoryDisk({
      random: seededRandom(at),
      fault: ({ number }) => (number === failAt ? 'power' : undefined),
    });
    const answered: string[] = [];
    const sent: string[] = [];
    const life = async (): Promise<void> => {
      const node = await openNode(disk, { create: true, snapshotInterval: 1000 });
      await node.start(new FakeState());
      for (let batch = 0; batch < 8; batch++) {
        const texts = Array.from({ length: 3 }, (_, one) => `${batch}-${one}`.repeat(20));
        sent.push(...texts);
        const proposals = texts.map(async (text) => {
          await node.propose(bytes(text));
          answered.push(text);
        });
        await Promise.all(proposals);
      }
      await node.close();
      operations = disk.operations;
    };
    await Promise.race([life(), disk.powerLost]);
    failAt = 0;
    disk.restart();
    if (disk.paths().every((path) => !path.endsWith('.log'))) {
      assert.deepEqual(answered, []);
      continue;
    }
    const state = new FakeState();
    const node = await openNode(disk, { create: false });
    await node.start(state);
    assert.deepEqual(state.commands, sent.slice(0, state.commands.length));
    assert.ok(state.commands.length >= answered.length, `operation ${at}`);
    await node.close();
  }
  assert.ok(operations > 20 && operations < 1000);
});

test('a member that was alone once and lost its rows asks for no vote before it knows who belongs to the cluster', async () => {
  const disk = newDisk();
  const first = await openNode(disk, { create: true });
  await first.start(new FakeState());
  const steps = [
    { step: 'addVoter', id: 78, name: 'b', address: '127.0.0.1:2' },
    { step: 'addVoter', id: 79, name: 'c', address: '127.0.0.1:3' },
  ] as const;
  await first.changeMembers({ steps, autoLeave: false });
  const sent = first.propose(bytes('needs the others')).catch(() => {});
  await first.close();
  await sent;
  const second = await openNode(disk, { create: false });
  await second.start(new FakeState());
  assert.deepEqual(second.membership.configuration.voters, [77, 78, 79]);
  assert.equal(second.status().role, 'follower');
  await second.close();
});
