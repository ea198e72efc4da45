// The log's thread as it is: a worker over the machine's disk and sockets.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { EtlError, seededRandom, systemClock } from '@etl-router/core';
import { RaftThread } from '../../../src/raft/thread/raft-thread.ts';
import { type LogThread, startLogThread } from '../../../src/raft/thread/start-log-thread.ts';
import type { ThreadOptions } from '../../../src/raft/thread/thread-options.ts';
import { DataDirectory } from '../../../src/storage/data-directory.ts';
import { nodeDisk } from '../../../src/storage/node-disk.ts';
import { Cluster } from '../../cluster.ts';
import { FakeState } from '../fake-state.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

interface Opened {
  readonly worker: LogThread;
  readonly thread: RaftThread;
  readonly state: FakeState;
  readonly lines: readonly string[];
  close(): Promise<void>;
}

async function makeFolder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'etl-router-thread-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function open(path: string, network?: ThreadOptions['network']): Promise<Opened> {
  const random = seededRandom(1);
  const directory = await DataDirectory.open({ disk: nodeDisk, path, name: '1', random });
  const { identity, founding, logCreated, logDirectory, snapshotDirectory } = directory;
  const worker = startLogThread({
    directory: { identity, founding, logCreated, logDirectory, snapshotDirectory },
    network: network ?? {
      listenAddress: { host: '127.0.0.1', port: 0 },
      isOpen: false,
      peers: [],
      security: { insecure: true },
    },
    ...{ heartbeatMs: 100, electionMs: 1000, snapshotInterval: 10_000, logQuotaBytes: 2 ** 31 },
    ...{ seed: 1, logLevel: 'debug' },
  });
  const lines: string[] = [];
  const thread = new RaftThread({
    ...worker,
    ...{ clusterId: identity.clusterId, nodeId: identity.nodeId, directory, clock: systemClock },
    onSync: () => undefined,
    onDelay: () => undefined,
    onLogLine: (line) => lines.push(line),
  });
  const state = new FakeState();
  const close = async (): Promise<void> => {
    await thread.close();
    await directory.close();
  };
  try {
    await thread.open(0, new AbortController().signal);
  } catch (error) {
    await close();
    throw error;
  }
  return { worker, thread, state, lines, close };
}

test('what was answered is there after the thread crashed, which fails the member at once', async (t) => {
  const path = await makeFolder(t);
  const first = await open(path);
  await first.thread.start(first.state);
  for (const text of ['a', 'b', 'c']) await first.thread.propose(bytes(text));
  first.state.before = () => new Promise(() => undefined);
  const waits = first.thread.propose(bytes('d')).catch((error: unknown) => error);
  // Nobody hears such a word: an assertion there that nothing catches.
  first.worker.port.postMessage([{ kind: 'word', name: 'nonsense', value: null }], []);
  const { code, message, cause } = await first.thread.failed;
  assert.deepEqual(
    [code, message],
    ['ETL_INTERNAL', 'the thread of the log ended: nobody hears nonsense'],
  );
  assert.match((cause as Error).stack ?? '', /line\.ts/);
  assert((await waits) instanceof EtlError);
  await first.close();

  const second = await open(path);
  await second.thread.start(second.state);
  assert.deepEqual(second.state.commands.slice(0, 3), ['a', 'b', 'c']);
  assert.equal(second.thread.status().term, 3);
  await second.worker.terminate();
  assert.equal((await second.thread.failed).message, 'the thread of the log ended with code 1');
  await second.close();
});

test('a log that is damaged is refused with the code and place that it has in the thread', async (t) => {
  const path = await makeFolder(t);
  const first = await open(path);
  await first.thread.start(first.state);
  await first.close();
  await rm(join(path, 'log'), { recursive: true });
  await assert.rejects(open(path), { code: 'ETL_STORAGE_CORRUPT', message: /log/ });
});

test('while nothing runs in the main threads, nobody is taken for gone: no election in three time-outs', async (t) => {
  const electionMs = 2000;
  const cluster = await Cluster.make(t, 3, { electionMs });
  await Promise.all([1, 2, 3].map((id) => cluster.start(id)));
  const [name, led] = await cluster.leader();
  const { term } = led.router.cluster();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3 * electionMs);
  for (const { router } of cluster.running) {
    await router.barrier();
    assert.equal(router.cluster().term, term);
    assert.equal(router.cluster().leaderName, String(name));
  }
});
