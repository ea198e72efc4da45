// Doctor's checks of one router at a URL, such as that of a laptop. It is one voice: what it does not hear may be well, so
// nothing that can not be undone is advised on its word alone.

import { isOutsider, type Member, outsiderWords, type Status } from '../routers.ts';
import { recovery } from './advice.ts';
import { type Check, fail, ok, warn, worst } from './check.ts';
import { checkVersions, healthOf, waits } from './routers.ts';

/** What the leader says that the router names, and where it was asked. */
export interface LeaderWord {
  readonly shown: string;
  /** Undefined: nobody who leads this cluster answered there, or it was not asked. */
  readonly status: Status | undefined;
}

/** `shown` is the origin of its URL. `leader` is undefined where no address of one is known. */
export function checkRouter(
  shown: string,
  status: Status,
  version: string,
  leader?: LeaderWord,
): readonly Check[] {
  const name = 'router';
  const flaws = [...standing(name, shown, status)];
  if (status.role === 'LEADER') flaws.push(...healthOf(name, status));
  if (status.health === 'UNHEALTHY' && flaws.length === 0)
    flaws.push(fail(name, 'it says that it is unhealthy', 'see its log'));
  const seen = `${shown} answers: ${status.role.toLowerCase()} in term ${status.currentTerm}, ${count(status)}, entry ${status.commitIndex}`;
  const isFollower = status.role !== 'LEADER' && status.leaderId !== null && !isOutsider(status);
  return [
    worst(name, seen, flaws),
    ...(isFollower ? [checkOthers(status.leaderId, leader)] : []),
    checkVersions('versions', [version]),
  ];
}

function count({ members }: Status): string {
  return `${members.length} member${members.length === 1 ? '' : 's'}`;
}

/** Whether it belongs to a cluster that can be written to, as far as it knows. */
function standing(name: string, shown: string, status: Status): readonly Check[] {
  const { nodeId, raftId, leaderId, members } = status;
  if (members.length === 0) return [waits(name, status)];
  const others = members.filter((member) => member.raftId !== raftId);
  if (isOutsider(status)) {
    const advice = `ask a member how the cluster is${askOne(shown, others)}; if this one was removed, stop it: its id never comes back, and it joins again only with an empty data directory; if it is new, run etlctl cluster add ${nodeId} <its Raft address> --raft-id ${raftId} at a member`;
    // One that is being added may follow a leader before it learns that it belongs to it.
    const level = leaderId === null ? fail : warn;
    return [level(name, outsiderWords(status), advice)];
  }
  if (leaderId !== null) return [];
  const message = 'it knows no leader: nothing can be written through it';
  const advice =
    others.length === 0
      ? 'wait for some seconds, then see its log'
      : `wait for some seconds, then ask the other members${askOne(shown, others)}, and see port 50052 between them; only if none of them knows a leader: ${recovery}`;
  return [fail(name, message, advice)];
}

/** How the first of `members` that has an address is asked, and the names of all. */
function askOne(shown: string, members: readonly Member[]): string {
  const names = members.map((member) => member.name).join(', ');
  const address = members.find(({ httpAddress }) => httpAddress)?.httpAddress;
  if (!address) return ` (${names})`;
  return ` (${names}), as by etlctl doctor --server ${besides(shown, address)}`;
}

/** The URL of another router of the cluster, by the protocol of the one at `shown`. */
export function besides(shown: string, httpAddress: string): string {
  return `${URL.parse(shown)?.protocol ?? 'http:'}//${httpAddress}`;
}

/** How the others are, which only the leader hears. */
function checkOthers(leaderId: string | null, leader: LeaderWord | undefined): Check {
  const name = 'members';
  const known = 'only the leader hears how the others are';
  if (leader === undefined)
    return ok(name, `not seen from here: ${known}; ask ${leaderId}, which leads`);
  const { shown, status } = leader;
  if (status === undefined)
    return ok(
      name,
      `not seen from here: ${known}; ask ${leaderId} by etlctl doctor --server ${shown}`,
    );
  const seen = `${leaderId} at ${shown} leads, and hears of all ${status.members.length}`;
  return worst(name, seen, healthOf(name, status));
}
