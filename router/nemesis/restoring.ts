// A restore, and the loss of the leader in the middle of it. While it goes on every member is asked for all objects at
// once, again and again: each answer shows the state from before or the backup's, never anything else, and nothing from
// before once the backup's was shown.

import { setTimeout as pause } from 'node:timers/promises';
import { toEtlError } from '@etl-router/core';
import { sameReads } from './checks.ts';
import { type Cluster, until } from './cluster.ts';
import { readLane } from './lane-clients.ts';
import type { Member } from './member.ts';
import { recoveryMaxMs } from './process-scenarios.ts';
import { kind } from './requests.ts';
import { between, oneOf, type Stage } from './scenario.ts';

const snapshotId = 'nemesis';
/** Large objects that are in the backup and not in the state from before, so that it comes in several pieces. */
const fillers = 10;
const fillerBytes = 250_000;
const fillerNamespace = 'fill';
/** Of another kind than what is listed, which is asked for often. */
const fillerKind = 'EtlSink';
const restoreMaxMs = 30_000;
const epochJump = 2 ** 20;
const listMaxMs = 5000;
const settleMs = 500;

/** What one member answered, and when it was asked and answered. */
export interface Listing {
  readonly member: string;
  readonly askedMs: number;
  readonly answeredMs: number;
  /** Every object with what it says, without versions. */
  readonly shown: string;
}

export async function restoring(stage: Stage): Promise<void> {
  const { cluster, workload, random, say } = stage;
  const leader = await cluster.leader();
  const asked = random.below(2) === 0 ? leader : oneOf(random, await cluster.followers());
  await writeFillers(leader);
  await workload.stop();
  const backedUp = await settled(asked);
  const lanes = await lanesOf(stage, asked);
  await asked.backups.createSnapshot({ snapshotId }, { deadlineMs: restoreMaxMs });
  workload.start();
  await deleteFillers(leader);
  await pause(between(random, 300, 1000));
  await workload.stop();
  for (const problem of await sameReads(cluster, workload)) throw new Error(problem);
  const before = await settled(asked);
  const revision = await revisionOf(cluster, asked);

  say(`member ${asked.name} restores, leader ${leader.name} will be killed`);
  const watch = new Watch(cluster);
  try {
    await restoreAround(stage, { asked, leader, before, backedUp });
    for (const problem of problemsOf(await watch.end(), before, backedUp)) throw new Error(problem);
  } finally {
    await watch.end();
  }
  await checkRestored(stage, { revision, backedUp, lanes });
  workload.beginEra();
  workload.start();
}

interface Around {
  readonly asked: Member;
  readonly leader: Member;
  /** What there was before the restore, and what it brings. */
  readonly before: string;
  readonly backedUp: string;
}

/** Restores, with the leader killed in the middle, and once more until it is answered. */
async function restoreAround(
  stage: Stage,
  { asked, leader, before, backedUp }: Around,
): Promise<void> {
  const { cluster, random, heal, say } = stage;
  const restored = restore(cluster, asked);
  restored.catch(() => undefined);
  await killInTheMiddle(stage, leader);
  if (asked !== leader) await restored;
  else {
    await cluster.leader(recoveryMaxMs);
    // Whoever restored is gone: what its cluster holds is one or the other.
    const alive = (await cluster.followers()).filter(({ isRunning }) => isRunning);
    const left = await listed(oneOf(random, alive));
    if (left !== before && left !== backedUp) throw new Error(`a part was restored: ${left}`);
    say(`without it there is ${left === before ? 'the state from before' : "the backup's state"}`);
  }
  await cluster.start([leader]);
  heal();
  await restore(cluster, asked);
}

/** Waits until some of the restore's entries are in the log. */
async function killInTheMiddle({ cluster, random, say }: Stage, leader: Member): Promise<void> {
  const first = (await cluster.statusOf(leader))?.commitIndex ?? 0n;
  const entries = BigInt(random.below(fillers / 2 + 3));
  const endMs = performance.now() + 3000;
  let last = first;
  while (last < first + entries && performance.now() < endMs)
    last = (await cluster.statusOf(leader))?.commitIndex ?? last;
  await leader.kill();
  say(`kill -9 of leader ${leader.name}, ${last - first} entries later`);
}

/** Asks until it is answered: a repeat of the request goes on where the first one ended. */
async function restore(cluster: Cluster, asked: Member): Promise<void> {
  const endMs = performance.now() + restoreMaxMs;
  for (;;) {
    try {
      const clusterId = (await cluster.statusOf(asked))?.clusterId ?? '';
      await asked.backups.restoreSnapshot(
        { snapshotId, clusterId, requestId: 'nemesis-restore' },
        { deadlineMs: restoreMaxMs },
      );
      return;
    } catch (error) {
      if (performance.now() > endMs || !asked.isRunning) throw toEtlError(error);
      await pause(100);
    }
  }
}

interface Expected {
  /** Of the state before the restore. */
  readonly revision: number;
  readonly backedUp: string;
  /** Positions of the lanes as they were backed up. */
  readonly lanes: ReadonlyMap<string, string>;
}

/** Every member holds the backup, under revisions and epochs that nobody had. */
async function checkRestored(
  { cluster, workload, say }: Stage,
  { revision, backedUp, lanes }: Expected,
): Promise<void> {
  for (const member of cluster.members) {
    // The connection to one that was killed is made again a moment after its start.
    const answers = `member ${member.name} answers`;
    const shown = await until(recoveryMaxMs, answers, () => listed(member).catch(() => undefined));
    if (shown !== backedUp)
      throw new Error(`member ${member.name} holds ${shown} after a restore of ${backedUp}`);
    const jumped = await revisionOf(cluster, member);
    if (jumped < revision + epochJump || jumped > revision + 1.5 * epochJump)
      throw new Error(
        `member ${member.name} is at revision ${jumped} after one restore, it was ${revision}`,
      );
    const { objects } = await member.admin.listObjects(
      { kind: fillerKind, namespace: fillerNamespace },
      { deadlineMs: 5000 },
    );
    if (objects.length !== fillers)
      throw new Error(`member ${member.name} holds ${objects.length} of ${fillers} large objects`);
    for (const lane of workload.laneNames) {
      const found = await readLane(member, lane);
      const position = lanes.get(lane);
      const isThere = found.error === undefined && found.position === position;
      if (isThere ? found.epoch <= revision : position !== undefined)
        throw new Error(
          `member ${member.name} shows ${lane} as ${JSON.stringify(found)}, the backup had position "${position}", and epochs are above ${revision}`,
        );
    }
  }
  say(`every member holds the backup, ${backedUp.split('\n').length} objects`);
}

async function lanesOf({ workload }: Stage, member: Member): Promise<ReadonlyMap<string, string>> {
  const positions = new Map<string, string>();
  for (const lane of workload.laneNames) {
    const found = await readLane(member, lane);
    if (found.error === undefined) positions.set(lane, found.position);
  }
  return positions;
}

async function revisionOf(cluster: Cluster, member: Member): Promise<number> {
  const revision = (await cluster.statusOf(member))?.revision;
  if (revision === undefined) throw new Error(`member ${member.name} does not say its revision`);
  return Number(revision);
}

/** All objects that clients and this scenario wrote, in one answer. */
async function listed({ admin }: Member): Promise<string> {
  const { objects } = await admin.listObjects({ kind, pageSize: 1000 }, { deadlineMs: listMaxMs });
  return objects
    .map(({ name, labels }) => `${name?.namespace}/${name?.name} ${labels['spec'] ?? ''}`)
    .join('\n');
}

/** The objects once nothing comes any more of what nobody waits for. */
async function settled(member: Member): Promise<string> {
  for (let last = await listed(member); ; ) {
    await pause(settleMs);
    const shown = await listed(member);
    if (shown === last) return shown;
    last = shown;
  }
}

/** Asks every member for all objects, until it is ended. */
class Watch {
  readonly #listings: Listing[] = [];
  readonly #over = new AbortController();
  readonly #running: Promise<unknown>;

  constructor(cluster: Cluster) {
    this.#running = Promise.all(cluster.members.map((member) => this.#watch(member)));
  }

  async end(): Promise<readonly Listing[]> {
    this.#over.abort();
    await this.#running;
    return this.#listings;
  }

  async #watch(member: Member): Promise<void> {
    while (!this.#over.signal.aborted) {
      const askedMs = performance.now();
      const shown = await listed(member).catch(() => undefined);
      const answeredMs = performance.now();
      if (shown !== undefined)
        this.#listings.push({ member: member.name, askedMs, answeredMs, shown });
      await pause(20);
    }
  }
}

/** What answers show that is neither the one state nor the other, or the former after the latter. */
export function problemsOf(
  listings: readonly Listing[],
  before: string,
  restored: string,
): readonly string[] {
  const isOther = ({ shown }: Listing): boolean => shown !== before && shown !== restored;
  const shownFromMs = Math.min(
    ...listings.filter(({ shown }) => shown === restored).map(({ answeredMs }) => answeredMs),
  );
  const isBack = ({ shown, askedMs }: Listing): boolean =>
    before !== restored && shown === before && askedMs > shownFromMs;
  return [
    ...listings
      .filter(isOther)
      .map(({ member, shown }) => `member ${member} showed a part of a restore: ${shown}`),
    ...listings
      .filter(isBack)
      .map(({ member }) => `member ${member} showed the state from before after the restored one`),
  ];
}

async function writeFillers({ admin }: Member): Promise<void> {
  for (let at = 0; at < fillers; at++) {
    const metadata = {
      ...{ name: `f${at}`, namespace: fillerNamespace },
      annotations: { filler: 'x'.repeat(fillerBytes) },
    };
    const spec = { file: { path: 'out.jsonl', format: 'jsonl' } };
    const manifest = { apiVersion: 'etl.router/v1', kind: fillerKind, metadata, spec };
    await admin.applyObject({ manifest: JSON.stringify(manifest) }, { deadlineMs: restoreMaxMs });
  }
}

async function deleteFillers({ admin }: Member): Promise<void> {
  for (let at = 0; at < fillers; at++) {
    const name = { kind: fillerKind, namespace: fillerNamespace, name: `f${at}` };
    await admin.deleteObject({ name }, { deadlineMs: restoreMaxMs });
  }
}
