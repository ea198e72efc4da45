// The language of transcripts: commands of one line, and lines of what they made members do. A block is commands, a
// line `----` and the effects; blocks are parted by empty lines, and `#` begins a remark. README.md lists the commands.

import { EtlError } from '@etl-router/core';
import {
  type Configuration,
  type ConfigurationChange,
  configurationOf,
  type MemberStep,
} from '../../src/raft/configuration.ts';
import type { RaftOptions } from '../../src/raft/core-state.ts';
import type { Message } from '../../src/raft/messages.ts';
import {
  describeEntry,
  describeMembers,
  describeMessage,
  describeRecord,
  describeRole,
  describeStatus,
} from './describe.ts';
import { encodeChange, Member } from './member.ts';
import { Network } from './network.ts';

type Command = (args: readonly string[]) => void;

export class Transcript {
  #network = new Network([]);
  #founders: Configuration = configurationOf();
  #options: Partial<RaftOptions> = {};
  #lines: string[] = [];
  #isQuiet = false;
  readonly #timeouts = new Map<number, number>();
  readonly #roles = new Map<number, string>();

  /** Runs the commands of a block, a line each, and returns what happened. */
  run(block: string): string {
    this.#lines = [];
    for (const line of block.split('\n')) if (!line.startsWith('#')) this.#runLine(line);
    return this.#lines.length === 0 ? 'nothing' : this.#lines.join('\n');
  }

  #runLine(line: string): void {
    const words = line.trim().split(/\s+/);
    this.#isQuiet = words[0] === 'quietly';
    const [name = '', ...args] = this.#isQuiet ? words.slice(1) : words;
    const command = this.#commands[name];
    if (command === undefined) throw new Error(`there is no command ${name}`);
    try {
      command(args);
    } catch (error) {
      if (!(error instanceof EtlError)) throw error;
      this.#say(`error ${error.code}: ${error.message}`);
    }
    this.#network.drain();
    for (const member of this.#network.members.values()) this.#sayRole(member);
  }

  readonly #commands: Readonly<Record<string, Command>> = {
    cluster: (args) => this.#begin(args),
    member: ([id]) => this.#add(Number(id)),
    log: ([id, ...terms]) => this.#seedOrShowLog(this.#member(id), terms),
    timeout: ([id, ticks]) => void this.#timeouts.set(Number(id), Number(ticks)),
    campaign: ([id]) => this.#member(id).raft.campaign(),
    propose: ([id, ...texts]) => {
      this.#member(id).raft.propose(texts.map((text) => Buffer.from(text)));
    },
    'propose-bytes': ([id, ...sizes]) => {
      this.#member(id).raft.propose(sizes.map((size) => new Uint8Array(Number(size)).fill(97)));
    },
    'propose-conf': ([id, ...steps]) => {
      const change = parseChange(steps);
      this.#member(id).raft.proposeConfiguration(change, encodeChange(change));
    },
    tick: ([who, count]) => this.#tick(who, Number(count ?? 1)),
    beat: ([id]) => this.#member(id).raft.tick(),
    deliver: (args) => this.#deliver(args),
    settle: () => this.#network.settle(),
    drop: (args) => this.#drop(args),
    repeat: (args) => {
      this.#network.queue.push(...this.#network.queue.filter(fitting(args)));
    },
    reverse: () => void this.#network.queue.reverse(),
    queue: () => {
      for (const message of this.#network.queue) this.#say(describeMessage(message));
    },
    'hold-disk': ([id]) => void (this.#member(id).isDiskHeld = true),
    sync: ([id]) => void (this.#member(id).isDiskHeld = false),
    'hold-apply': ([id]) => void (this.#member(id).isApplyHeld = true),
    apply: ([id]) => void (this.#member(id).isApplyHeld = false),
    crash: ([id]) => this.#member(id).crash(),
    restart: ([id]) => this.#member(id).restart(),
    isolate: (ids) => {
      for (const id of ids) this.#network.isolate(Number(id));
    },
    cut: ([from, to]) => this.#network.cut(Number(from), Number(to)),
    heal: () => this.#network.heal(),
    transfer: ([id, to]) => this.#member(id).raft.transferTo(Number(to)),
    read: ([id, context]) => this.#member(id).raft.readIndex(Number(context)),
    snapshot: ([id, releaseTo]) => {
      this.#member(id).snapshot(releaseTo === undefined ? undefined : Number(releaseTo));
    },
    'snapshot-lost': ([id, of]) => this.#member(id).raft.reportSnapshot(Number(of), false),
    unreachable: ([id, of]) => this.#member(id).raft.reportUnreachable(Number(of)),
    forget: ([id]) => this.#member(id).raft.forgetLeader(),
    status: (ids) => {
      for (const member of this.#some(ids)) this.#say(describeStatus(member.raft.status()));
    },
    applied: (ids) => {
      for (const { id, applied } of this.#some(ids)) this.#say(`${id} ${applied.join(' ')}`.trim());
    },
  };

  /** `cluster 1 2 3 learners 4 outgoing 1 2 window=2 append=100 uncommitted=100 reads=2`. */
  #begin(args: readonly string[]): void {
    const lists: Record<string, number[]> = { voters: [], learners: [], outgoing: [] };
    const numbers = new Map<string, number>();
    let list = 'voters';
    for (const word of args) {
      const [name = '', value] = word.split('=');
      if (value !== undefined) numbers.set(name, Number(value));
      else if (name in lists) list = name;
      else lists[list]?.push(Number(word));
    }
    this.#founders = { ...configurationOf(), ...lists };
    const window = numbers.get('window');
    const option = (name: string): Partial<RaftOptions> => {
      const value = numbers.get(name);
      return value === undefined ? {} : { [optionNames[name] as string]: value };
    };
    this.#options = {
      ...option('append'),
      ...option('uncommitted'),
      ...option('reads'),
      ...(window === undefined ? {} : { inflight: { maxMessages: window, maxBytes: 1_000_000 } }),
    };
    this.#network = new Network([]);
    for (const id of new Set(Object.values(lists).flat())) this.#add(id);
  }

  /** Members time out after ten ticks and, so that the transcript says who is first, ten times more by their id. */
  #add(id: number): void {
    const random = (): number => ((this.#timeouts.get(id) ?? 10 + ((id - 1) % 10)) - 10) / 10;
    const member = new Member(id, this.#founders, { ...this.#options, random });
    member.observer = {
      ready: ({ record, reads, alarms, snapshots }) => {
        this.#sayRole(member);
        if (record !== undefined) this.#say(`${id} writes ${describeRecord(record)}`);
        for (const { context, index } of reads)
          this.#say(`${id} read ${context} ${index === 0 ? 'refused' : `granted at ${index}`}`);
        for (const { code, message } of alarms) this.#say(`${id} ALARM ${code}: ${message}`);
        for (const { to, snapshot } of snapshots)
          this.#say(`${id} wants snapshot ${snapshot.index}/${snapshot.term} sent to ${to}`);
      },
      sent: (message) => this.#say(describeMessage(message)),
      applied: (entry) => {
        const { configuration } = member.raft.status();
        const now = entry.type === 'normal' ? '' : `: ${describeMembers(configuration)}`;
        this.#say(`${id} applies ${describeEntry(entry)}${now}`);
      },
    };
    this.#network.members.set(id, member);
    this.#roles.set(id, describeRole(member.raft.status()));
  }

  #seedOrShowLog(member: Member, terms: readonly string[]): void {
    if (terms.length > 0) {
      const list = terms.filter((word) => !word.includes('=')).map(Number);
      const commit = terms.find((word) => word.startsWith('commit='))?.slice(7) ?? 0;
      const term = terms.find((word) => word.startsWith('term='))?.slice(5) ?? list.at(-1) ?? 0;
      member.seed(list, Number(term), Number(commit));
      this.#roles.set(member.id, describeRole(member.raft.status()));
      return;
    }
    const { log } = member;
    const all = log.entries(log.firstIndex, log.lastIndex + 1, Number.MAX_SAFE_INTEGER);
    this.#say(`${member.id} holds ${all.map(describeEntry).join(' ') || 'nothing'}`);
  }

  /** Time alone, for one member or all: nothing is delivered. */
  #tick(who: string | undefined, count: number): void {
    const members = who === undefined || who === 'all' ? this.#some([]) : [this.#member(who)];
    for (let at = 0; at < count; at++) {
      for (const member of members) if (!member.isDown) member.raft.tick();
      this.#network.drain();
    }
  }

  /** `deliver`, what is under way now; `deliver 3`, as many; `deliver 1>2`, `deliver *>2`, those of now that fit. */
  #deliver(args: readonly string[]): void {
    const limit = /^\d+$/.test(args[0] ?? '') ? Number(args[0]) : Number.POSITIVE_INFINITY;
    const fits = fitting(Number.isFinite(limit) ? [] : args);
    const now = new Set(this.#network.queue.filter(fits).slice(0, limit));
    for (let at = now.size; at > 0; at--) this.#network.deliver((message) => now.has(message));
  }

  #drop(args: readonly string[]): void {
    for (const message of this.#network.queue.filter(fitting(args))) {
      this.#say(`lost ${describeMessage(message)}`);
      this.#network.drop((each) => each === message);
    }
  }

  #some(ids: readonly string[]): readonly Member[] {
    const all = [...this.#network.members.values()].filter(({ isDown }) => !isDown);
    return ids.length === 0 ? all : ids.map((id) => this.#member(id));
  }

  #member(id: string | undefined): Member {
    return this.#network.member(Number(id));
  }

  #sayRole({ id, raft, isDown }: Member): void {
    const now = isDown ? 'down' : describeRole(raft.status());
    if (this.#roles.get(id) === now) return;
    this.#roles.set(id, now);
    this.#say(`${id} is ${now}`);
  }

  #say(text: string): void {
    if (!this.#isQuiet) this.#lines.push(text);
  }
}

const optionNames: Readonly<Record<string, string>> = {
  append: 'maxAppendBytes',
  uncommitted: 'maxUncommittedBytes',
  reads: 'maxPendingReads',
};

/** `1>2`, `*>2`, `1>*`, and behind it a type, as in `1>2 appendEntries`. Nothing: all. */
function fitting([way = '*>*', type]: readonly string[]): (message: Message) => boolean {
  const [from, to] = way.split('>');
  return (message) =>
    (from === '*' || Number(from) === message.from) &&
    (to === '*' || Number(to) === message.to) &&
    (type === undefined || type === message.type);
}

/** `+4 ~5 -1 auto`: adds a voter and a learner, removes one, and ends by itself. `leave`: ends it. */
function parseChange(words: readonly string[]): ConfigurationChange {
  if (words[0] === 'leave') return { steps: [], autoLeave: false };
  const kinds: Readonly<Record<string, MemberStep['step']>> = {
    '+': 'addVoter',
    '~': 'addLearner',
    '-': 'remove',
  };
  const steps = words
    .filter((word) => word !== 'auto')
    .map((word): MemberStep => {
      const step = kinds[word.charAt(0)];
      if (step === undefined) throw new Error(`${word} is no change of members`);
      return { step, id: Number(word.slice(1)) };
    });
  return { steps, autoLeave: words.includes('auto') };
}

/** The text as it should be: remarks and commands as they are, the effects as they turn out. */
export function replay(text: string): string {
  const transcript = new Transcript();
  const blocks = text.trimEnd().split(/\n{2,}/);
  const replayed = blocks.map((block) => {
    const [commands = ''] = block.split('\n----');
    const isRemark = commands.split('\n').every((line) => line.startsWith('#'));
    return isRemark ? commands : `${commands}\n----\n${transcript.run(commands)}`;
  });
  return `${replayed.join('\n\n')}\n`;
}
