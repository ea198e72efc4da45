// Doctor's checks of what routers say of themselves and of each other.

import type { RouterCluster } from '../kubernetes/objects.ts';
import type { Status, Word } from '../routers.ts';
import { isOutsider, lagMax, lagOf, leaderOf, outsiderWords } from '../routers.ts';
import { productVersion } from '../version.ts';
import { otherCluster, recovery } from './advice.ts';
import { type Check, fail, toldHere, warn, worst } from './check.ts';
import { isSameRelease } from './installation.ts';

const askDenied =
  'name an account that may, with --service-account: it needs get on etlrouterclusters/graphql';

/** The routers of a cluster in Kubernetes, by their own words. */
export function checkRouters(
  { metadata, status: seenStatus }: RouterCluster,
  words: readonly Word[],
): readonly Check[] {
  const { namespace } = metadata;
  const name = `${namespace}/${metadata.name} routers`;
  const clusterId = seenStatus?.clusterID;
  const answered = words.filter(({ status }) => status !== undefined);
  const denied = words.find(
    ({ error }) => error?.code === 'ETL_PERMISSION_DENIED' || error?.code === 'ETL_UNAUTHENTICATED',
  );
  if (answered.length === 0 && denied !== undefined)
    return [warn(name, `not asked: ${denied.error?.message}`, askDenied)];
  // What does not run yet is told of the pods.
  if (answered.length === 0 && words.every(({ entrance }) => !entrance.isReady))
    return [warn(name, sayErrors(words) || 'there is no pod to be asked', 'see the pods above')];
  if (answered.length === 0)
    return [fail(name, sayErrors(words), 'see the pods above, and their logs')];
  const flaws: Check[] = words.flatMap(({ entrance, error }) => {
    if (error === undefined) return [];
    const advice = `kubectl logs ${entrance.pod} -n ${namespace}; a NetworkPolicy may keep port 8080 from the node`;
    return [
      entrance.isReady
        ? fail(name, sayError(entrance.pod, error.message), advice)
        : warn(name, sayError(entrance.pod, error.message), 'see the pods above'),
    ];
  });
  const statuses = answered.map(({ status }) => status as Status);
  // Those of another cluster are told as that, and say nothing of this one.
  const ours = statuses.filter(
    ({ clusterId: id, members }) =>
      clusterId === undefined || members.length === 0 || id === clusterId,
  );
  flaws.push(...otherClusters(name, answered, clusterId), ...leadership(name, ours));
  const leader = leaderOf(words);
  if (leader !== undefined) flaws.push(...healthOf(name, leader));
  const versions = [...new Set(answered.map(({ version }) => version ?? 'unknown'))];
  const seen = `${answered.length} answer, term ${leader?.currentTerm ?? 'unknown'}, entry ${leader?.commitIndex ?? 'unknown'}`;
  return [worst(name, seen, flaws), checkVersions(`${name} versions`, versions)];
}

function sayErrors(words: readonly Word[]): string {
  return words
    .flatMap(({ entrance, error }) =>
      error === undefined ? [] : [sayError(entrance.pod, error.message)],
    )
    .join('; ');
}

function sayError(pod: string, message: string): string {
  const said = toldHere(message);
  return said.includes(pod) ? said : `${pod}: ${said}`;
}

function otherClusters(
  name: string,
  answered: readonly Word[],
  clusterId: string | undefined,
): readonly Check[] {
  const wanted =
    clusterId ?? answered.find(({ status }) => status?.role === 'LEADER')?.status?.clusterId;
  return answered.flatMap(({ entrance, status }) => {
    // Who waits to be added has no cluster yet.
    if (wanted === undefined || status === undefined || status.members.length === 0) return [];
    if (status.clusterId === wanted) return [];
    const message = `${entrance.pod} is of cluster ${status.clusterId}, not ${wanted}`;
    return [fail(name, message, `it has the volume of another cluster: ${otherCluster}`)];
  });
}

function leadership(name: string, statuses: readonly Status[]): readonly Check[] {
  const waiting = statuses.filter(({ members }) => members.length === 0);
  const outsiders = statuses.filter(isOutsider);
  // Whether there is a leader is not for an outsider to say: members do not talk to it.
  const members = statuses.filter((status) => status.members.length > 0 && !isOutsider(status));
  const leaders = new Set(members.map(({ leaderId }) => leaderId));
  const flaws: Check[] = waiting.map((status) => waits(name, status));
  for (const status of outsiders)
    flaws.push(
      warn(
        name,
        outsiderWords(status),
        'the operator adds it, or deletes its pod: see the conditions; without an operator, stop it or run etlctl cluster add',
      ),
    );
  if (members.length > 0 && leaders.size === 1 && leaders.has(null)) {
    flaws.push(leaderless(name, members));
  } else if (leaders.size > 1) {
    const message = `members name different leaders: ${[...leaders].map((each) => each ?? 'none').join(', ')}`;
    flaws.push(
      warn(
        name,
        message,
        'run etlctl doctor again; if it stays, a member is cut off: see port 50052 between the members',
      ),
    );
  }
  return flaws;
}

/** Nobody is sent to begin anew while those who answer would be enough. */
function leaderless(name: string, members: readonly Status[]): Check {
  const message = 'no member knows a leader: nothing can be written';
  const votersIn = (status: Status) => status.members.filter(({ role }) => role !== 'LEARNER');
  const voters = Math.max(...members.map((status) => votersIn(status).length));
  const answer = members.filter(({ role }) => role !== 'LEARNER').length;
  const network = 'port 50052 between the members (NetworkPolicy, DNS) and their certificates';
  return answer > voters / 2
    ? fail(name, message, `wait for some seconds, then see ${network}: a majority is there`)
    : fail(
        name,
        message,
        `bring back those that do not answer, see ${network}; only if a majority is gone for good: ${recovery}`,
      );
}

/** A router that was never in a cluster. */
export function waits(name: string, { nodeId }: Status): Check {
  return warn(
    name,
    `member ${nodeId} waits to be added`,
    'in Kubernetes the operator adds it as soon as a majority of the members answers; elsewhere run etlctl cluster add at a member',
  );
}

/** What the leader hears of the others. */
export function healthOf(name: string, leader: Status): readonly Check[] {
  const away = leader.members.filter(({ healthy }) => healthy === false);
  const behind = leader.members.filter(({ raftId, healthy }) => {
    const lag = lagOf(leader, raftId);
    return healthy !== false && lag !== undefined && lag > lagMax;
  });
  const flaws: Check[] = [];
  if (away.length > 0) {
    const names = away.map((member) => member.name).join(', ');
    flaws.push(
      warn(
        name,
        `the leader does not hear of ${names}`,
        'see their pods or processes, and port 50052 between the members',
      ),
    );
  }
  for (const { name: member, raftId } of behind) {
    const message = `member ${member} lacks ${lagOf(leader, raftId)} entries`;
    flaws.push(
      warn(name, message, 'wait until it has caught up; if it does not, see its disk and its CPU'),
    );
  }
  return flaws;
}

/** That all are of one release. */
export function checkVersions(name: string, versions: readonly string[]): Check {
  const flaws: Check[] = [];
  if (versions.length > 1)
    flaws.push(
      warn(
        name,
        `members run ${versions.join(' and ')}`,
        'an upgrade is under way, or stands still: see the conditions',
      ),
    );
  if (versions.some((version) => !isSameRelease(version))) {
    const message = `etlctl is ${productVersion}, the routers ${versions.join(' and ')}`;
    flaws.push(warn(name, message, 'use the etlctl of the same release'));
  }
  return worst(name, `routers and etlctl are of one release, ${versions.join(', ')}`, flaws);
}
