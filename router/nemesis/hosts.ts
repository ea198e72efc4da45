// Where the members live. On loopback they share the machine's network; in namespaces each has a host of its own behind
// a bridge, and what one sends to another can be dropped without a word, each direction for itself.

import { mkdir } from 'node:fs/promises';
import process from 'node:process';
import { command } from './command.ts';

/** The hosts of one run. */
export interface Hosts {
  addressOf(member: number): string;
  /** Makes the host of a member; what has to stand before a command that is to run there. */
  open(member: number): Promise<readonly string[]>;
  /** Drops whatever `from` sends to `to` from now on. */
  block(from: number, to: number): Promise<void>;
  /** Lets everything through again. */
  heal(): Promise<void>;
  close(): Promise<void>;
}

/** Hosts that are addresses of the loopback device, another set for every run. */
export function loopbackHosts(run: number): Hosts {
  const noPartition = (): Promise<never> =>
    Promise.reject(new Error('on loopback nothing can be partitioned'));
  return {
    addressOf: (member) => `127.${16 + (process.pid % 200)}.${run % 250}.${member}`,
    open: () => Promise.resolve([]),
    block: noPartition,
    heal: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

/** A hardware address that no host has: frames to it reach nobody. */
const nowhere = '02:00:00:00:ff:ff';

/** Hosts that are network namespaces. Addresses are those for benchmarks of networks (RFC 2544), which nobody routes. */
export class NamespaceHosts implements Hosts {
  readonly #run: number;
  readonly #bridge: string;
  readonly #open = new Set<number>();
  readonly #blocked = new Map<string, readonly [from: number, to: number]>();

  private constructor(run: number) {
    this.#run = run;
    this.#bridge = `nem${run}`;
  }

  /** To be called once, before the first run: namespaces get names in a folder that only the runner sees. */
  static async prepare(): Promise<void> {
    await mkdir('/run/netns', { recursive: true });
    await command('mount', '-t', 'tmpfs', 'tmpfs', '/run/netns');
    await command('ip', 'link', 'set', 'lo', 'up');
  }

  static async make(run: number): Promise<NamespaceHosts> {
    const hosts = new NamespaceHosts(run);
    const bridge = hosts.#bridge;
    await command('ip', 'link', 'add', bridge, 'type', 'bridge');
    await command('ip', 'address', 'add', `${hosts.addressOf(254)}/24`, 'dev', bridge);
    await command('ip', 'link', 'set', bridge, 'up');
    return hosts;
  }

  addressOf(member: number): string {
    return `198.18.${this.#run % 250}.${member}`;
  }

  async open(member: number): Promise<readonly string[]> {
    const name = this.#nameOf(member);
    const enter = ['nsenter', `--net=/run/netns/${name}`];
    if (this.#open.has(member)) return enter;
    this.#open.add(member);
    const link = `${this.#bridge}.${member}`;
    const inside = ['netns', name, 'address', hardwareAddressOf(member)];
    await command('ip', 'netns', 'add', name);
    await command('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', ...inside);
    await command('ip', 'link', 'set', link, 'master', this.#bridge, 'up');
    await command(
      'ip',
      '-n',
      name,
      'address',
      'add',
      `${this.addressOf(member)}/24`,
      'dev',
      'eth0',
    );
    await command('ip', '-n', name, 'link', 'set', 'eth0', 'up');
    await command('ip', '-n', name, 'link', 'set', 'lo', 'up');
    return enter;
  }

  async block(from: number, to: number): Promise<void> {
    this.#blocked.set(`${from} ${to}`, [from, to]);
    await this.#route(from, to, nowhere);
  }

  async heal(): Promise<void> {
    const blocked = [...this.#blocked.values()];
    this.#blocked.clear();
    for (const [from, to] of blocked) await this.#route(from, to, hardwareAddressOf(to));
  }

  async close(): Promise<void> {
    for (const member of this.#open) await command('ip', 'netns', 'delete', this.#nameOf(member));
    await command('ip', 'link', 'delete', this.#bridge);
  }

  /** Frames of `from` to `to` go to this hardware address. */
  async #route(from: number, to: number, hardwareAddress: string): Promise<void> {
    const neighbour = [this.addressOf(to), 'lladdr', hardwareAddress, 'nud', 'permanent'];
    const name = this.#nameOf(from);
    await command('ip', '-n', name, 'neighbour', 'replace', ...neighbour, 'dev', 'eth0');
  }

  #nameOf(member: number): string {
    return `nemesis-${this.#run}-${member}`;
  }
}

function hardwareAddressOf(member: number): string {
  return `02:00:00:00:00:${member.toString(16).padStart(2, '0')}`;
}
