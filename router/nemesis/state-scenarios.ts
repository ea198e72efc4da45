// The state as a whole: a backup that is restored while the leader is lost, a log that may not grow, and a member whose
// rows are not those of the others.

import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type EtlError, toEtlError } from '@etl-router/core';
import { LevelStore } from '../src/applied/level-store.ts';
import { until, within } from './cluster.ts';
import type { Member } from './member.ts';
import { replace } from './membership-scenarios.ts';
import { restoring } from './restoring.ts';
import { oneOf, type Scenario, type Stage } from './scenario.ts';

const quotaBytes = 16_777_216;
/** Large objects that are written at the same time: together they are more than its second half. */
const fillers = 40;
const fillerBytes = 250_000;
const refusalMaxMs = 60_000;
/** So long the log may stay full: a snapshot is written, and a part released. */
const quotaMaxMs = 30_000;
const attemptMaxMs = 5000;
const divergedMaxMs = 60_000;

export const stateScenarios: readonly Scenario[] = [
  {
    name: 'restore',
    about:
      'the leader is killed while a backup is restored: all of it is in force or nothing, on every member alike',
    needs: [],
    run: restoring,
  },
  {
    name: 'log-quota',
    about:
      'the log reaches its quota: writes are refused for that reason, reads and deletes go on, and so do writes later',
    needs: [],
    flags: ['--log-quota-bytes', String(quotaBytes)],
    snapshotInterval: 100_000_000,
    run: fillLog,
  },
  {
    name: 'flipped-row',
    about:
      'a bit of a row of a stopped follower is flipped unseen: the others tell, it stops and is replaced',
    needs: [],
    isDivergent: true,
    run: flipRow,
  },
];

/** Writes more than the log may take, until it is refused. */
async function fillLog(stage: Stage): Promise<void> {
  const { cluster, heal, say } = stage;
  const leader = await cluster.leader();
  const filled = new AbortController();
  const endMs = performance.now() + refusalMaxMs;
  const fill = async (at: number): Promise<EtlError | undefined> => {
    for (let turn = 0; !filled.signal.aborted && performance.now() < endMs; turn++) {
      try {
        await leader.admin.applyObject(
          { manifest: filler(at, turn) },
          { deadlineMs: attemptMaxMs },
        );
      } catch (error) {
        if (!isQuotaRefusal(toEtlError(error))) continue;
        filled.abort();
        return toEtlError(error);
      }
    }
    return undefined;
  };
  const refusals = await Promise.all(Array.from({ length: fillers }, (_, at) => fill(at)));
  const refusal = refusals.find((each) => each !== undefined);
  if (refusal === undefined)
    throw new Error(`the log was never refused more, with a quota of ${quotaBytes} bytes`);
  const refusedMs = performance.now();
  say(`refused: ${refusal.message}`);
  const name = { kind: 'EtlSource', namespace: 'fill', name: 'f0' };
  await leader.admin.getObject({ name }, { deadlineMs: quotaMaxMs });
  await insist('a delete is taken', () =>
    leader.admin.deleteObject({ name }, { deadlineMs: attemptMaxMs }),
  );
  say('reads and deletes go on');
  await insist('the log takes writes again', () =>
    leader.admin.applyObject({ manifest: filler(1, -1) }, { deadlineMs: attemptMaxMs }),
  );
  say(`writes go on ${Math.round(performance.now() - refusedMs)} ms after they were refused`);
  heal();
}

/** Asks again until it is done, and tells why it was not. */
async function insist(what: string, work: () => Promise<unknown>): Promise<void> {
  let last = 'nothing was asked';
  const isDone = async (): Promise<true | undefined> => {
    try {
      await work();
      return true;
    } catch (error) {
      const failure = toEtlError(error);
      last = failure.message;
      return failure.code === 'ETL_NOT_FOUND' ? true : undefined;
    }
  };
  await until(quotaMaxMs, what, isDone).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}: ${last}`);
  });
}

/** Refused in time, and told why and what to do about it. */
export function isQuotaRefusal({ code, message, retryable }: EtlError): boolean {
  return code === 'ETL_LIMIT_EXCEEDED' && retryable && message.includes('--log-quota-bytes');
}

function filler(at: number, turn: number): string {
  return JSON.stringify({
    apiVersion: 'etl.router/v1',
    kind: 'EtlSource',
    metadata: {
      ...{ name: `f${at}`, namespace: 'fill' },
      annotations: { filler: `${turn} `.padEnd(fillerBytes, 'x') },
    },
    spec: { generator: { count: 1 } },
  });
}

async function flipRow(stage: Stage): Promise<void> {
  const { cluster, random, say } = stage;
  const victim = oneOf(random, await cluster.followers());
  await victim.stop();
  say(`member ${victim.name}: ${await flip(join(victim.dataDirectory, 'router', 'applied'))}`);
  await victim.start();
  victim.expectEnd();
  // It may find out before it is ready, from what it replays.
  await victim.ready.catch(() => undefined);
  const { code } = await within(
    divergedMaxMs,
    `the end of member ${victim.name}, which holds another state`,
    victim.ending,
  );
  await expectDiverged(victim, code);
  await until(divergedMaxMs, 'another member tells who differs', () => alarmOf(stage, victim));
  await victim.start();
  victim.expectEnd();
  await expectDiverged(victim, (await victim.ending).code);
  say('it does not start again');
  await replace(stage, victim);
}

/** What a disk or a defect could do: a bit of a row that nobody writes any more, while everything else says all is well. */
async function flip(directory: string): Promise<string> {
  const store = await LevelStore.open(directory);
  try {
    if (store.origin !== 'kept') throw new Error(`the rows were not kept: ${store.origin}`);
    const text = 'out.jsonl';
    const row = (await store.load()).find(([, value]) => Buffer.from(value).includes(text));
    if (row === undefined) throw new Error(`there is no row with ${text}`);
    const value = Buffer.from(row[1]);
    const at = value.indexOf(text);
    value[at] = (value[at] as number) ^ 1;
    await store.apply([{ key: row[0], value }], store.applied);
    return `bit 0 of byte ${at} of row ${Buffer.from(row[0]).toString('latin1')} was flipped`;
  } finally {
    await store.close();
  }
}

async function alarmOf({ cluster }: Stage, victim: Member): Promise<true | undefined> {
  await pause(0);
  const told = cluster.alarms.some((line) => line.includes(`member ${victim.name} (id `));
  return told ? true : undefined;
}

function expectDiverged(victim: Member, code: number | null): Promise<void> {
  if (code !== 0 && victim.lastWords.includes('ETL_STATE_DIVERGED')) return Promise.resolve();
  throw new Error(
    `member ${victim.name} holds another state and ended with ${code}: ${victim.lastWords}`,
  );
}
