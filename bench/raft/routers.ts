// Three routers on this machine, as `npm run router` starts them: gRPC in the clear, every write synced.

import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import process from 'node:process';
import type { Cluster } from './cluster.ts';
import { freePorts, MemberProcess } from './member-process.ts';

const main = resolve(import.meta.dirname, '../../router/src/main.ts');

/** Starts them in `directory`, which exists. `nodeFlags` go to Node, to profile for one. */
export async function startRouters(
  directory: string,
  nodeFlags: readonly string[] = [],
): Promise<Cluster> {
  const ids = [1, 2, 3];
  const ports = await freePorts(ids.length * 2);
  const api = (id: number): string => `127.0.0.1:${ports[id - 1]}`;
  const raft = (id: number): string => `127.0.0.1:${ports[ids.length + id - 1]}`;
  const members = ids.map((id) => {
    const cwd = join(directory, `router-${id}`);
    mkdirSync(cwd);
    const peers = ids.filter((other) => other !== id).map((other) => `${other}@${raft(other)}`);
    const flags = {
      'node-id': String(id),
      'listen-addr': api(id),
      'raft-addr': raft(id),
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
  });
  return { name: 'router', dialect: 'router', members, addresses: ids.map(api) };
}
