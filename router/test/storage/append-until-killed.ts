// Run by kill.test.ts as a process of its own: proposes for as long as it lives, and prints the index of every proposal
// that was answered. Arguments: data directory, proposals at a time.

import { writeSync } from 'node:fs';
import process from 'node:process';
import { systemClock, systemRandom } from '@etl-router/core';
import { configurationOf } from '../../src/raft/configuration.ts';
import { encodeMembership } from '../../src/raft/membership.ts';
import { DataDirectory } from '../../src/storage/data-directory.ts';
import { Log } from '../../src/storage/log.ts';
import { nodeDisk } from '../../src/storage/node-disk.ts';
import { nodeAlone } from '../raft/alone.ts';
import { FakeState } from '../raft/fake-state.ts';

/** Says a line at once, so that a kill does not take it back; a pipe that is full is tried again until it is read. */
function say(line: string): void {
  for (;;) {
    try {
      writeSync(1, line);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

const [, , path = '', together = '1'] = process.argv;
const disk = nodeDisk;
const directory = await DataDirectory.open({ disk, path, random: systemRandom, name: '1' });
const { clusterId, nodeId, logId } = directory.identity;
const log = await Log.open({
  disk,
  directory: directory.logDirectory,
  clusterId,
  logId,
  clock: systemClock,
  create: !directory.logCreated,
  segmentBytes: 64 * 1024,
  allocateBytes: 4096,
});
if (!directory.logCreated) await directory.markLogCreated();
const node = nodeAlone({ log, clusterId, nodeId, snapshotInterval: 200 });
// Snapshots of this state are its place in the log; who belongs to the cluster never changes.
const membership = encodeMembership({
  configuration: configurationOf(nodeId),
  members: [{ id: nodeId, name: '1', address: '' }],
  removed: [],
});
await node.start(new FakeState(log.compacted, log.compacted.index > 0 ? membership : undefined));
say(`open ${log.lastIndex}\n`);

for (;;) {
  const proposals = Array.from({ length: Number(together) }, async (_, at) => {
    const length = 16 + ((log.lastIndex * 7 + at * 131) % 700);
    const { index } = await node.propose(Buffer.alloc(length, log.lastIndex % 251));
    say(`${index} ${length} ${log.term(index) ?? 0}\n`);
  });
  await Promise.all(proposals);
}
