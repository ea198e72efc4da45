// A follower whose state stands still, as that of a main thread that is held does: what it may hold meanwhile.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ManualClock, seededRandom } from '@etl-router/core';
import type { Message, MessageBody } from '../../src/raft/messages.ts';
import type { RaftNode } from '../../src/raft/node.ts';
import { noTransport } from '../../src/raft/transport.ts';
import type { Log } from '../../src/storage/log.ts';
import type { Entry } from '../../src/storage/log-types.ts';
import { MemoryDisk } from '../../src/storage/memory-disk.ts';
import { openLog } from '../storage/log-harness.ts';
import { nodeAlone } from './alone.ts';
import { FakeState } from './fake-state.ts';

const snapshotBytes: number = 64 * 1024;
const entryBytes = 4096;
const entriesAtATime = 4;
const term = 2;

/** Member 2 of two, with a test for a leader. */
class Follower {
  readonly state: FakeState = new FakeState();
  readonly said: Message[] = [];
  readonly clock: ManualClock = new ManualClock();
  readonly node: RaftNode;
  readonly log: Log;
  /** The last entry that it attested. */
  taken = 1;
  /** What stands still goes on. */
  readonly held: PromiseWithResolvers<void> = Promise.withResolvers();

  private constructor(log: Log) {
    this.log = log;
    this.node = nodeAlone({
      log,
      clock: this.clock,
      nodeId: 2,
      founders: [1, 2].map((id) => ({ id, name: `n${id}`, address: `10.0.0.${id}:50052` })),
      transport: { ...noTransport, send: (messages) => void this.said.push(...messages) },
      snapshotBytes,
    });
  }

  static async start(t: TestContext): Promise<Follower> {
    const disk = new MemoryDisk({ random: seededRandom(1) });
    const follower = new Follower(await openLog(disk, '/data/log', { create: true }));
    t.after(() => {
      follower.held.resolve();
      return follower.node.close();
    });
    await follower.node.start(follower.state);
    return follower;
  }

  /** What it says to a message, once it has nothing to do and nothing gathers any more. */
  async ask(body: MessageBody): Promise<readonly Message[]> {
    this.said.length = 0;
    this.node.receiver.receive({ from: 1, to: 2, term, ...body });
    for (let turn = 0; turn < 10; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      if (turn === 5) this.clock.advance(10);
    }
    return this.said;
  }

  /** Sends the entries behind those that it has taken, all of which are committed. */
  async send(): Promise<void> {
    const previousIndex = this.taken;
    const entries = Array.from(
      { length: entriesAtATime },
      (_, at): Entry => ({
        index: previousIndex + 1 + at,
        term,
        type: 'normal',
        data: new Uint8Array(entryBytes),
      }),
    );
    const previousTerm = previousIndex === 1 ? 1 : term;
    const commitIndex = previousIndex;
    const said = await this.ask({
      type: 'appendEntries',
      ...{ previousIndex, previousTerm, entries, commitIndex },
    });
    for (const message of said) {
      if (message.type !== 'appendEntriesReply') continue;
      assert.equal(message.rejected, false);
      this.taken = Math.max(this.taken, message.index);
    }
  }
}

test('a follower whose state stands still takes entries until its log is full, and goes on with the rest of it', async (t) => {
  const follower = await Follower.start(t);
  const { state, log, held } = follower;
  const handed: number[] = [];
  state.before = async (entries) => {
    handed.push(entries.reduce((sum, { data }) => sum + data.length, 0));
    await held.promise;
  };
  for (let round = 0; round < 50; round++) await follower.send();
  const { taken } = follower;
  assert.ok(log.bytes >= 2 * snapshotBytes, `it takes ${log.bytes} bytes`);
  assert.ok(log.bytes <= 2 * snapshotBytes + 2 * entriesAtATime * entryBytes, `${log.bytes} bytes`);
  assert.equal(handed.length, 1, 'one batch is handed to a state that stands still');
  const answers = await follower.ask({ type: 'heartbeat', commitIndex: taken, readContext: 7 });
  assert.deepEqual(
    answers.map(({ type }) => type),
    ['heartbeatReply'],
  );
  held.resolve();
  for (let round = 0; round < 50; round++) await follower.send();
  assert.ok(follower.taken > taken + 40 * entriesAtATime, `${follower.taken} entries are taken`);
  assert.ok(log.bytes < 2 * snapshotBytes);
  assert.ok(state.applied.index >= follower.taken - entriesAtATime);
});

test('a state that lags by less than two batches takes entries, whatever the log holds', async (t) => {
  const follower = await Follower.start(t);
  const { state, log, held } = follower;
  // Nothing is released while a snapshot is made.
  state.snapshot = async () => {
    await held.promise;
    return state.applied;
  };
  for (let round = 0; round < 50; round++) await follower.send();
  assert.equal(follower.taken, 1 + 50 * entriesAtATime);
  assert.ok(log.bytes > 4 * snapshotBytes);
});
