// Three routers on this machine, as `npm run router` starts them: gRPC in the clear, every write synced.

import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import type { Cluster } from './cluster.ts';
import { freePorts, MemberProcess } from './member-process.ts';

const main = resolve(import.meta.dirname, '../../router/src/main.ts');

/** A router to start. */
export interface RouterPlace {
  readonly id: number;
  /** Its own folder in it is made. */
  readonly directory: string;
  readonly address: string;
  readonly raftAddress: string;
  /** `id@host:port` of the others. */
  readonly peers: readonly string[];
}

/** Starts them in `directory`, which exists. `nodeFlags` go to Node, to profile for one. */
export async function startRouters(
  directory: string,
  nodeFlags: readonly string[] = [],
): Promise<Cluster & { readonly raftAddresses: readonly string[] }> {
  const ids = [1, 2, 3];
  const ports = await freePorts(ids.length * 2);
  const api = (id: number): string => `127.0.0.1:${ports[id - 1]}`;
  const raft = (id: number): string => `127.0.0.1:${ports[ids.length + id - 1]}`;
  const members = ids.map((id) => {
    const peers = ids.filter((other) => other !== id).map((other) => `${other}@${raft(other)}`);
    return startRouter(
      { id, directory, address: api(id), raftAddress: raft(id), peers },
      nodeFlags,
    );
  });
  const addresses = ids.map(api);
  return { name: 'router', dialect: 'router', members, addresses, raftAddresses: ids.map(raft) };
}

/** Starts one. */
export function startRouter(place: RouterPlace, nodeFlags: readonly string[] = []): MemberProcess {
  const { id, address, raftAddress, peers } = place;
  const cwd = routerDirectory(place);
  mkdirSync(cwd);
  const flags = {
    'node-id': String(id),
    'listen-addr': address,
    'raft-addr': raftAddress,
    peers: peers.join(','),
    'http-addr': 'off',
    'metrics-addr': 'off',
    'data-dir': join(cwd, 'data'),
    'log-level': 'warn',
  };
  return new MemberProcess(`router ${id}`, {
    file: process.execPath,
    args: [
      ...['--conditions=etl-source', ...nodeFlags, main, '--insecure'],
      ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]),
    ],
    cwd,
    env: { PATH: process.env['PATH'] },
  });
}

/** The folder that a router works in. */
export function routerDirectory({ id, directory }: Pick<RouterPlace, 'id' | 'directory'>): string {
  return join(directory, `router-${id}`);
}
