// Whether a spec can be followed. The schema refuses what can not; what is stored was sometimes let in by an older one.

import { isEtlError, parseDuration, parseQuantity } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import { membersMax } from './names.ts';

/** What is wrong with it, in sentences; empty: nothing. */
export function checkSpec({ spec }: EtlRouterCluster): readonly string[] {
  const { replicas, raft, storage, template, tls, update, services } = spec;
  const sections = { raft, storage, template, tls, update, services };
  const absent = Object.entries(sections).flatMap(([name, section]) =>
    typeof section === 'object' ? [] : [`spec.${name}: is missing`],
  );
  if (absent.length > 0) return absent;
  const odd = Number.isInteger(replicas) && replicas % 2 === 1;
  const isCount = odd && replicas >= 1 && replicas <= membersMax;
  return [
    ...(isCount ? [] : [`spec.replicas: ${replicas} is none of 1, 3, 5 and 7`]),
    ...durationFaults(spec),
    ...quantityFaults(spec),
  ];
}

function durationFaults({ raft, template, tls, update }: EtlRouterCluster['spec']): string[] {
  const durations = {
    'raft.electionTimeout': raft.electionTimeout,
    'raft.heartbeatInterval': raft.heartbeatInterval,
    'raft.stateCheckInterval': raft.stateCheckInterval,
    'template.terminationGracePeriod': template.terminationGracePeriod,
    'tls.certificateDuration': tls.certificateDuration,
    'tls.renewBefore': tls.renewBefore,
    'tls.authorityDuration': tls.authorityDuration,
    'update.memberReadyTimeout': update.memberReadyTimeout,
  };
  return Object.entries(durations).flatMap(([name, value]) =>
    faultOf(() => parseDuration(String(value), `spec.${name}`)),
  );
}

function quantityFaults({ raft, storage }: EtlRouterCluster['spec']): string[] {
  const quota = raft.logQuota;
  return [
    ...faultOf(() => parseQuantity(String(storage.size), 'spec.storage.size')),
    ...(quota === undefined
      ? []
      : faultOf(() => parseQuantity(String(quota), 'spec.raft.logQuota'))),
  ];
}

function faultOf(parse: () => number): string[] {
  try {
    parse();
    return [];
  } catch (error) {
    if (isEtlError(error)) return [error.message];
    throw error;
  }
}
