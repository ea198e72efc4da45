// Three members of etcd on this machine, with its defaults: a heartbeat of 100 ms and an election of 1 s, as ours, and
// every write synced.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import type { Cluster } from '../../raft/cluster.ts';
import { freePorts, MemberProcess } from '../../raft/member-process.ts';
import type { Etcd } from './build.ts';

/** Starts them in `directory`, which exists. */
export async function startEtcd(directory: string, { binary, version }: Etcd): Promise<Cluster> {
  const names = ['one', 'two', 'three'];
  const ports = await freePorts(names.length * 2);
  const client = (at: number): string => `127.0.0.1:${ports[at]}`;
  const peer = (at: number): string => `http://127.0.0.1:${ports[names.length + at]}`;
  const members = names.map((name, at) => {
    const cwd = join(directory, `etcd-${version}-${name}`);
    mkdirSync(cwd);
    const flags = {
      name,
      'data-dir': join(cwd, 'data'),
      'listen-client-urls': `http://${client(at)}`,
      'advertise-client-urls': `http://${client(at)}`,
      'listen-peer-urls': peer(at),
      'initial-advertise-peer-urls': peer(at),
      'initial-cluster': names.map((each, other) => `${each}=${peer(other)}`).join(','),
      'initial-cluster-token': `bench-${version}`,
      'initial-cluster-state': 'new',
      logger: 'zap',
      'log-level': 'error',
    };
    return new MemberProcess(`etcd ${version} ${name}`, {
      file: binary,
      args: Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
      cwd,
      env: { PATH: process.env['PATH'] },
    });
  });
  const addresses = names.map((_, at) => client(at));
  return { name: `etcd ${version}`, dialect: 'etcd', members, addresses };
}
