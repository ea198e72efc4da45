// Doctor's checks of one EtlRouterCluster as Kubernetes knows it: conditions, pods, volumes, certificates, budget. All are
// of objects that were read; nothing here asks anybody.

import { X509Certificate } from 'node:crypto';
import { parseDuration, parseQuantity } from '@etl-router/core';
import {
  type Claim,
  type Condition,
  type DisruptionBudget,
  isReady,
  type Pod,
  type RouterCluster,
} from '../kubernetes/objects.ts';
import { adviceOn, claimEnds } from './advice.ts';
import { type Check, fail, ok, warn, worst } from './check.ts';

/** What was read of a cluster; what may not be read is undefined. */
export interface Seen {
  readonly cluster: RouterCluster;
  readonly pods: readonly Pod[];
  readonly claims: readonly Claim[] | undefined;
  /** PEM of the authorities that members and operator believe. */
  readonly authorities: string | undefined;
  /** Null: there is none. */
  readonly budget: DisruptionBudget | null | undefined;
  readonly nowMs: number;
}

/** An operation that takes longer than this is told. */
const operationMaxMs = 30 * 60_000;
const restartsMax = 5;

export function checkRouterCluster(seen: Seen): readonly Check[] {
  const { namespace, name } = seen.cluster.metadata;
  const at = `${namespace}/${name}`;
  const since = seen.cluster.metadata.deletionTimestamp;
  if (since !== undefined) {
    const said = seen.cluster.status?.conditions?.find(({ reason }) => reason === 'Deleting');
    const why = said?.message === undefined ? '' : `: ${said.message}`;
    const advice =
      'nothing, if that was meant and the message names no failure; its volumes stay unless spec.storage.retention says otherwise';
    return [warn(at, `is being deleted since ${since}${why}`, advice)];
  }
  return [
    checkConditions(at, seen),
    checkPods(`${at} pods`, seen),
    ...(seen.claims === undefined ? [] : [checkVolumes(`${at} volumes`, seen, seen.claims)]),
    checkCertificates(`${at} certificates`, seen),
    ...(seen.budget === undefined ? [] : [checkBudget(`${at} budget`, seen)]),
  ];
}

function checkConditions(name: string, { cluster, nowMs }: Seen): Check {
  const { metadata, status } = cluster;
  const { conditions = [], operation, leader, term } = status ?? {};
  if (conditions.length === 0) {
    const message = 'the operator has not looked at it yet';
    return warn(
      name,
      message,
      'see the checks of the operator above, and whether it watches this namespace',
    );
  }
  const reasons = new Set<string>();
  // What is said by one condition is not said by the next again.
  const told = conditions.filter(({ type, reason = '' }) => {
    const isNew = type !== 'Ready' && !reasons.has(reason);
    if (isNew) reasons.add(reason);
    return isNew;
  });
  const flaws = told.flatMap((condition) => flawOf(condition));
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) {
    const message = 'the operator has not seen the latest spec';
    flaws.push(warn(name, message, 'wait; if it stays, see the checks of the operator above'));
  }
  if (operation !== undefined && nowMs - Date.parse(operation.startedAt) > operationMaxMs) {
    const { type, phase, target = '', attempt, message = '' } = operation;
    flaws.push(
      warn(
        name,
        `${type} ${target} (${phase}, attempt ${attempt}) goes on since ${operation.startedAt}: ${message}`,
        'see what it waits for; the log of the operator says why a step fails',
      ),
    );
  }
  const ready = conditions.find(({ type }) => type === 'Ready');
  const isQuiet = flaws.length === 0 && ready?.status !== 'True';
  if (isQuiet) {
    const message = ready?.message ?? 'it is not ready';
    return warn(name, message, 'wait: the operator is at work');
  }
  const leads = leader === undefined ? '' : `, ${leader.name} leads in term ${term}`;
  return worst(name, `ready${leads}`, flaws);
}

/** Conditions of which True is the bad one. */
const negative = ['Degraded', 'ReconciliationPaused'];

function flawOf({ type, status, reason = '', message = '' }: Condition): readonly Check[] {
  const isGood =
    type === 'Progressing'
      ? false
      : negative.includes(type)
        ? status === 'False'
        : status === 'True';
  if (isGood) return [];
  const advice = adviceOn(type, reason);
  if (advice === undefined) return [];
  const told = `${type}=${status} ${reason}: ${message}`;
  return [{ name: type, level: advice.level, message: told, advice: advice.what }];
}

function checkPods(name: string, { cluster, pods }: Seen): Check {
  const wanted = cluster.spec?.replicas ?? pods.length;
  const ready = pods.filter(isReady);
  // A cluster that is not founded yet lacks nothing that it had.
  const isFounding = cluster.status?.conditions?.some(
    ({ type, reason }) => type === 'Available' && reason === 'Founding',
  );
  const majority = isFounding === true ? 0 : Math.floor(wanted / 2) + 1;
  const flaws: Check[] = pods
    .filter((pod) => !isReady(pod))
    .map((pod) => {
      const message = `${pod.metadata.name} ${whyNotReady(pod)}`;
      const advice = `kubectl describe pod ${pod.metadata.name} -n ${cluster.metadata.namespace}`;
      return ready.length >= majority ? warn(name, message, advice) : fail(name, message, advice);
    });
  if (pods.length < wanted) {
    const message = `${pods.length} of ${wanted} pods are there`;
    const advice = 'see kubectl describe of the StatefulSet, and the conditions above';
    flaws.push(pods.length >= majority ? warn(name, message, advice) : fail(name, message, advice));
  }
  for (const { metadata, status } of pods) {
    const { restartCount = 0, lastState } = status?.containerStatuses?.[0] ?? {};
    if (restartCount < restartsMax) continue;
    const { exitCode, reason = 'ended' } = lastState?.terminated ?? {};
    const message = `${metadata.name} was restarted ${restartCount} times, last after ${reason} (exit code ${exitCode ?? 'unknown'})`;
    flaws.push(
      warn(name, message, `kubectl logs ${metadata.name} -n ${metadata.namespace} --previous`),
    );
  }
  flaws.push(...crowded(name, pods, wanted));
  return worst(name, `${ready.length} of ${wanted} ready`, flaws);
}

/** A node that takes a majority with it. */
function crowded(name: string, pods: readonly Pod[], wanted: number): readonly Check[] {
  if (wanted < 3) return [];
  const counts = new Map<string, number>();
  for (const { spec } of pods) {
    if (spec?.nodeName !== undefined)
      counts.set(spec.nodeName, (counts.get(spec.nodeName) ?? 0) + 1);
  }
  return [...counts]
    .filter(([, count]) => count > wanted - (Math.floor(wanted / 2) + 1))
    .map(([node, count]) =>
      warn(
        name,
        `${count} of ${wanted} members are on node ${node}: without it there is no majority`,
        'let the members spread over nodes (spec.template.topologySpreadConstraints)',
      ),
    );
}

function whyNotReady({ metadata, status }: Pod): string {
  if (metadata.deletionTimestamp !== undefined) return 'is being deleted';
  const waiting = status?.containerStatuses?.map(({ state }) => state?.waiting).find(Boolean);
  if (waiting !== undefined)
    return `waits: ${[waiting.reason, waiting.message].filter(Boolean).join(', ')}`;
  const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled');
  if (scheduled?.status === 'False') return `has no node: ${scheduled.message ?? scheduled.reason}`;
  return `is ${status?.phase ?? 'unknown'} and not ready`;
}

function checkVolumes(name: string, { cluster, pods }: Seen, claims: readonly Claim[]): Check {
  const { namespace } = cluster.metadata;
  const wanted = cluster.spec?.storage?.size;
  const used = new Set(pods.map((pod) => `data-${pod.metadata.name}`));
  const flaws = claims.flatMap((claim): Check[] => {
    const { name: claimName, deletionTimestamp } = claim.metadata;
    const described = `kubectl describe pvc ${claimName} -n ${namespace}`;
    const { phase = 'Unknown', capacity } = claim.status ?? {};
    if (deletionTimestamp !== undefined)
      return [warn(name, `${claimName} is being deleted`, claimEnds)];
    if (phase === 'Lost')
      return [
        fail(
          name,
          `${claimName} lost its volume`,
          'docs/guides/operating-a-cluster.md, "A volume is lost"',
        ),
      ];
    if (phase !== 'Bound') {
      const advice = `${described}: is there a StorageClass (${claim.spec?.storageClassName ?? 'the default one'}), and room?`;
      return [warn(name, `${claimName} is ${phase}`, advice)];
    }
    if (used.has(claimName) && isSmaller(capacity?.storage, wanted)) {
      const message = `${claimName} has ${capacity?.storage} and is to have ${wanted}`;
      return [warn(name, message, `${described}: can its StorageClass grow volumes?`)];
    }
    return [];
  });
  const kept = claims.filter(({ metadata }) => !used.has(metadata.name)).length;
  const more = kept === 0 ? '' : `, ${kept} kept of members that are gone`;
  return worst(name, `${claims.length - kept} bound${more}`, flaws);
}

function isSmaller(has: string | undefined, wanted: string | undefined): boolean {
  if (has === undefined || wanted === undefined) return false;
  return parseQuantity(has, 'capacity') < parseQuantity(wanted, 'spec.storage.size');
}

const defaultTls = {
  certificateDuration: '2160h',
  renewBefore: '720h',
  authorityDuration: '8760h',
};

function checkCertificates(name: string, { cluster, authorities, nowMs }: Seen): Check {
  const tls = { ...defaultTls, ...cluster.spec?.tls };
  const rest = parseDuration(tls.renewBefore, 'spec.tls.renewBefore');
  const life = parseDuration(tls.certificateDuration, 'spec.tls.certificateDuration');
  const authorityRest =
    (rest / life) * parseDuration(tls.authorityDuration, 'spec.tls.authorityDuration');
  const server = cluster.status?.serverCertificateNotAfter;
  const told = [
    ...(server === undefined
      ? []
      : [{ what: 'a certificate of a member', untilMs: Date.parse(server), lateMs: rest / 2 }]),
    ...newestAuthority(authorities).map((untilMs) => ({
      ...{ what: 'the authority', untilMs, lateMs: authorityRest / 2 },
    })),
  ];
  if (told.length === 0)
    return warn(name, 'the operator has made none yet', 'wait; if it stays, see its log');
  const flaws = told.flatMap(({ what, untilMs, lateMs }) => {
    const leftMs = untilMs - nowMs;
    const until = new Date(untilMs).toISOString().slice(0, 16);
    const advice =
      'the operator renews it as soon as it leads: see the checks of the operator, and its log';
    if (leftMs <= 0) return [fail(name, `${what} has expired, ${until}`, advice)];
    if (leftMs < lateMs) return [warn(name, `${what} ends ${until} and is not renewed`, advice)];
    return [];
  });
  const ends = told.map(
    ({ what, untilMs }) => `${what} ends ${new Date(untilMs).toISOString().slice(0, 10)}`,
  );
  return worst(name, ends.join(', '), flaws);
}

/** When the authority ends that ends last: during a change there are two. */
function newestAuthority(bundle: string | undefined): readonly number[] {
  const blocks = bundle?.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const ends = blocks.flatMap((pem) => {
    try {
      return [Date.parse(new X509Certificate(pem).validTo)];
    } catch {
      return [];
    }
  });
  return ends.length === 0 ? [] : [Math.max(...ends)];
}

function checkBudget(name: string, { cluster, budget }: Seen): Check {
  if (cluster.spec?.disruptionBudget === 'none')
    return ok(name, 'spec.disruptionBudget is none: a drain may take a majority');
  if (budget === null && cluster.status?.clusterID === undefined)
    return ok(name, 'it comes once the cluster is founded');
  if (budget === null || budget === undefined) {
    const message = 'there is no PodDisruptionBudget: a drain may take a majority';
    return warn(name, message, 'the operator makes it; see its checks above');
  }
  const allowed = budget.status?.disruptionsAllowed ?? 0;
  return ok(name, `${allowed} ${allowed === 1 ? 'pod' : 'pods'} may be evicted now`);
}
