// How many messages the core of Raft steps in a second on one thread: three cores over logs in memory, a leader that
// is given commands one at a time, and every message delivered at once. No network, no disk, no encoding: what is left
// is the price of the algorithm.

import { seededRandom } from '@etl-router/core';
import {
  configurationOf,
  type Entry,
  type LogRecord,
  LogView,
  type Message,
  Raft,
} from '@etl-router/router/testing';
import { type Bench, type BenchOptions, type BenchResult, takeTurns } from './lib/bench.ts';
import { formatTable } from './lib/report.ts';
import { median, summarize } from './lib/statistics.ts';

/** Messages a second that one thread must step. */
const required = 200_000;
const command: Uint8Array = Buffer.alloc(128, 7);
/** Entries kept: memory stays flat. */
const kept = 10_000;

interface Member {
  readonly raft: Raft;
  readonly log: LogView;
  applied: number;
}

function write(log: LogView, { hardState, entries = [] }: LogRecord): void {
  if (hardState !== undefined) log.setHardState(hardState);
  for (const entry of entries) log.append(entry);
}

function makeMembers(): ReadonlyMap<number, Member> {
  const configuration = configurationOf(1, 2, 3);
  const members = [1, 2, 3].map((id): [number, Member] => {
    const log = new LogView();
    const source = seededRandom(id);
    const random = (): number => source.next();
    return [
      id,
      { log, applied: 0, raft: new Raft({ id, log, configuration, applied: 0, random }) },
    ];
  });
  return new Map(members);
}

/** Carries out a member's effects; returns what it sends. */
function drain(member: Member, id: number, sent: Message[]): void {
  const { raft, log } = member;
  while (raft.hasReady) {
    const { record, messages, afterDurable } = raft.ready();
    if (record !== undefined) write(log, record);
    sent.push(...messages);
    for (const message of afterDurable) {
      if (message.to === id) raft.step(message);
      else sent.push(message);
    }
  }
  if (raft.commitIndex === member.applied) return;
  member.applied = raft.commitIndex;
  raft.appliedTo(member.applied);
}

/** Steps `count` commands of `batch` each through the cluster; returns the messages stepped. */
function replicate(members: ReadonlyMap<number, Member>, count: number, batch: number): number {
  const leader = members.get(1) as Member;
  const commands = Array.from({ length: batch }, () => command);
  let stepped = 0;
  for (let at = 0; at < count; at++) {
    leader.raft.propose(commands);
    const queue: Message[] = [];
    drain(leader, 1, queue);
    for (const message of queue) {
      const to = members.get(message.to) as Member;
      to.raft.step(message);
      stepped++;
      drain(to, message.to, queue);
    }
    release(members);
  }
  return stepped;
}

function release(members: ReadonlyMap<number, Member>): void {
  for (const { log, raft } of members.values()) {
    if (log.lastIndex - log.firstIndex < 2 * kept) continue;
    const index = Math.min(raft.commitIndex, log.lastIndex - kept);
    const position = { index, term: log.term(index) as Entry['term'] };
    log.markSnapshot(position);
    log.compact(position);
  }
}

function measure(count: number, batch: number): () => number {
  return () => {
    const members = makeMembers();
    const leader = members.get(1) as Member;
    leader.raft.campaign();
    const queue: Message[] = [];
    drain(leader, 1, queue);
    for (const message of queue) {
      const to = members.get(message.to) as Member;
      to.raft.step(message);
      drain(to, message.to, queue);
    }
    const startMs = performance.now();
    const stepped = replicate(members, count, batch);
    return (stepped / (performance.now() - startMs)) * 1000;
  };
}

async function run({ rounds, quick }: BenchOptions): Promise<BenchResult> {
  const count = quick ? 2000 : 100_000;
  const turns = new Map([
    ['one command an append', measure(count, 1)],
    ['16 commands an append', measure(Math.ceil(count / 8), 16)],
  ]);
  const rates = await takeTurns(turns, rounds);
  const rows = Array.from(rates, ([name, of]) => {
    const { median: middle, min, max } = summarize(of);
    return [name, middle.toFixed(0), `${min.toFixed(0)} - ${max.toFixed(0)}`];
  });
  const one = median(rates.get('one command an append') as number[]);
  return {
    text: formatTable([['', 'messages/s', 'min - max'], ...rows]),
    ratios: [{ name: 'of_required', value: one / required, required: 1 }],
    raw: Object.fromEntries(
      Array.from(rates, ([name, of]) => [`${name} messages/s`, of.map((rate) => Math.round(rate))]),
    ),
    settings: { commandBytes: command.length, count, required },
  };
}

export const bench: Bench = {
  about: 'the core of Raft: messages stepped a second on one thread',
  rounds: 5,
  run,
};
