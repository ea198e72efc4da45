// Makes clusters what they are declared to be: looks, plans, writes the status, applies the objects, and makes at most one
// act. Nothing is remembered from run to run that a new process would miss: what is under way is in the status.

import type { Clock, Random } from '@etl-router/core';
import { type EtlError, isEtlError } from '@etl-router/core';
import type { EtlRouterCluster, EtlRouterClusterStatus } from '@etl-router/crds';
import type { PassFailpoint } from '../failpoint.ts';
import type { RouterAdmins } from '../router-client.ts';
import { isConflict, isNotFound, isStatus } from '../runtime/api-error.ts';
import { Applier } from '../runtime/apply.ts';
import type { ReconcileContext, ReconcileOutcome } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/events.ts';
import { addFinalizer, removeFinalizer } from '../runtime/finalizers.ts';
import type { UntypedObject } from '../runtime/kube-object.ts';
import { controllerUid } from '../runtime/ownership.ts';
import type { RawKube } from '../runtime/raw-kube.ts';
import { type ConditionClaim, withConditions } from '../runtime/status.ts';
import { applyObjects, deleteBinding, deleteObjects, deleteWhatever } from './applying.ts';
import type { ClusterCaches } from './caches.ts';
import { CertificateKeeper, type Kept } from './certificates.ts';
import { forbiddenConditions } from './conditions.ts';
import { isOrphaning, volumesGo } from './deletion.ts';
import { isClaimOf, readFacts } from './facts.ts';
import { ActFailures, isApplication, namedAct, namedObjects } from './failures.ts';
import { clusterKind } from './kinds.ts';
import type { ClusterMetrics } from './metrics.ts';
import { fieldManager } from './names.ts';
import { bindingName, objectKey } from './objects.ts';
import { Observer, type Parts } from './observe.ts';
import { Actor, type CallAct } from './perform.ts';
import { type Plan, plan } from './plan.ts';
import { StatusWriter } from './status-writer.ts';
import type { ClusterView, Installed } from './view.ts';

/** Holds a cluster until what nobody else takes away is gone: its binding and, by its spec, its volumes. */
export const clusterFinalizer = 'etl.router/cluster';

export interface ClusterControllerOptions {
  readonly client: RawKube;
  readonly caches: ClusterCaches;
  readonly routers: RouterAdmins;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly installed: Installed;
  readonly metrics: ClusterMetrics;
  readonly passFailpoint: PassFailpoint;
}

/** What a run has seen. */
interface Seen {
  readonly cluster: EtlRouterCluster;
  readonly kept: Kept;
  readonly parts: Parts;
  readonly view: ClusterView;
}

/** What a cluster that is deleted still has. */
interface Remains {
  readonly set: UntypedObject | undefined;
  readonly claims: Parts['claims'];
  readonly signal: AbortSignal;
}

/** What became of that: nothing is left to do, or nothing was to be done, or it goes on with another run. */
type Tidied = 'gone' | 'orphaned' | ReconcileOutcome;

const soonMs = 1000;
const goneMs = 15_000;
const nobodyMs = 15_000;
/** Between two looks at a namespace that may not be read. */
const unservedMs = 5000;
const jitterMinMs = 10_000;

export class ClusterController {
  readonly #options: ClusterControllerOptions;
  readonly #applier: Applier;
  readonly #keeper: CertificateKeeper;
  readonly #observer: Observer;
  readonly #actor: Actor;
  readonly #failures: ActFailures;
  readonly #statuses: StatusWriter;

  constructor(options: ClusterControllerOptions) {
    this.#options = options;
    this.#applier = new Applier({ client: options.client, fieldManager });
    this.#keeper = new CertificateKeeper(options);
    this.#observer = new Observer(options);
    this.#actor = new Actor(options);
    this.#failures = new ActFailures(options.clock);
    this.#statuses = new StatusWriter(options);
  }

  /** One run for one cluster. */
  async reconcile(key: string, context: ReconcileContext): Promise<ReconcileOutcome | undefined> {
    const cached = this.#options.caches.clusters.get(key);
    if (cached === undefined) {
      this.#forget(key);
      return undefined;
    }
    const cluster = this.#statuses.latest.of(key, cached);
    context.addLogFields({ generation: cluster.metadata.generation });
    if (cluster.metadata.deletionTimestamp !== undefined)
      return await this.#delete(key, cluster, context);
    // What may not be read looks like what is not there.
    if (!this.#options.caches.serves(cluster.metadata.namespace))
      return await this.#sayForbidden(cluster, context.signal);
    const seen = await this.#look(key, cluster, context);
    const first = plan(seen.view);
    if (first.objects.length > 0 && !isHeld(cluster)) {
      await this.#hold(key, cluster, context.signal);
      return { requeueAfterMs: 0 };
    }
    const made = await this.#planFor(seen, first, context.signal);
    const outcome = await this.#follow(key, made.seen, made.plan, context);
    return this.#paced(outcome, seen.kept);
  }

  async #sayForbidden(cluster: EtlRouterCluster, signal: AbortSignal): Promise<ReconcileOutcome> {
    const { caches, clock } = this.#options;
    const kinds = caches.refusedIn(cluster.metadata.namespace);
    // Of a cluster that may not be read itself there is an old copy at most, to which nothing can be written.
    if (kinds.length > 0 && !kinds.includes(clusterKind.plural)) {
      const conditions = merged(cluster, forbiddenConditions(kinds), clock);
      await this.#statuses.write(cluster, { ...cluster.status, conditions }, signal);
    }
    return { requeueAfterMs: unservedMs };
  }

  /** Sees to it that the cluster does not go before what nobody else takes away. */
  async #hold(key: string, cluster: EtlRouterCluster, signal: AbortSignal): Promise<void> {
    const { client } = this.#options;
    const finalizer = { client, kind: clusterKind, finalizer: clusterFinalizer };
    this.#statuses.latest.note(key, cluster, await addFinalizer(finalizer, cluster, signal));
  }

  async #look(
    key: string,
    cluster: EtlRouterCluster,
    { signal, logger }: ReconcileContext,
  ): Promise<Seen> {
    const mayWrite = cluster.spec.reconciliation !== 'paused';
    const kept = await this.#keep(cluster, { mayWrite, signal, logger });
    const parts = await this.#observer.parts(cluster, signal);
    const words = await this.#observer.words(cluster, parts, {
      credentials: kept.credentials,
      signal,
    });
    const view: ClusterView = {
      nowMs: this.#options.clock.wallMs(),
      cluster,
      installed: this.#options.installed,
      objects: this.#observer.objects(cluster),
      pods: parts.pods,
      claims: parts.claims,
      words,
      certificates: kept.view,
      failure: this.#failures.of(key),
    };
    return { cluster, kept, parts, view };
  }

  /** What is refused for good is said in the status; the rest of the cluster goes on meanwhile. */
  async #keep(
    cluster: EtlRouterCluster,
    how: Parameters<CertificateKeeper['keep']>[1],
  ): Promise<Kept> {
    try {
      return await this.#keeper.keep(cluster, how);
    } catch (error) {
      if (!isEtlError(error) || error.retryable || error.code === 'ETL_NOT_LEADER') throw error;
      const level = isTerminating(error) ? 'debug' : 'warn';
      how.logger[level]({ code: error.code, error: error.message }, 'certificates are not kept');
      const view = { state: 'pending', message: error.message } as const;
      return { view, credentials: undefined, checkAfterMs: 15_000 };
    }
  }

  /** The plan, made again when something bears a name that is wanted and no cache knew of it. */
  async #planFor(
    seen: Seen,
    first: Plan,
    signal: AbortSignal,
  ): Promise<{ readonly seen: Seen; readonly plan: Plan }> {
    const unseen = await this.#observer.unseen(first.objects, seen.view.objects, signal);
    if (unseen.length === 0) return { seen, plan: first };
    const objects = new Map(seen.view.objects);
    for (const object of unseen) objects.set(objectKey(object), object);
    const view = { ...seen.view, objects };
    return { seen: { ...seen, view }, plan: plan(view) };
  }

  async #follow(
    key: string,
    seen: Seen,
    made: Plan,
    context: ReconcileContext,
  ): Promise<ReconcileOutcome> {
    const { passFailpoint } = this.#options;
    const { cluster } = seen;
    const { name } = cluster.metadata;
    await passFailpoint('before-status', name);
    const status = statusWith(cluster, made, this.#options.clock);
    const written = await this.#statuses.write(cluster, status, context.signal);
    // An intent that is not kept is begun anew, ever later: nothing is done without it.
    const isRecord = made.act?.kind === 'record';
    if (written === 'outdated' || (isRecord && written !== 'written')) return { requeue: true };
    await passFailpoint('after-status', name);
    if (isRecord) {
      await passFailpoint('after-record', status.operation?.phase);
      return { requeueAfterMs: 0 };
    }
    const changed = await this.#apply(key, seen, made, context);
    if (typeof changed === 'number') return { requeueAfterMs: changed };
    await passFailpoint('after-objects', name);
    if (changed) return { requeueAfterMs: Math.min(soonMs, made.requeueAfterMs) };
    if (made.act === undefined) {
      this.#failures.forget(key);
      // Where nobody can be asked, only an event brings news.
      const leastMs = seen.parts.addresses.length === 0 ? nobodyMs : 0;
      return { requeueAfterMs: Math.max(leastMs, made.requeueAfterMs) };
    }
    return await this.#act(key, seen, { act: made.act, plan: made }, context);
  }

  /** True when something was changed; how long to wait where that was refused. */
  async #apply(
    key: string,
    { view, cluster }: Seen,
    made: Plan,
    { signal, logger }: ReconcileContext,
  ): Promise<boolean | number> {
    const { client, events } = this.#options;
    const applying = { client, applier: this.#applier };
    const name = namedObjects(made.objects);
    const pauseMs = this.#failures.pauseMs(key, name);
    if (pauseMs > 0) return pauseMs;
    try {
      const how = { live: view.objects, signal };
      const { changed, remade } = await applyObjects(applying, made.objects, how);
      await deleteObjects(applying, made.unwanted, signal);
      for (const { kind, metadata } of remade) {
        const note = `${kind} ${metadata.name} has a field that can not be changed; it is made anew.`;
        events.record(cluster, { type: 'Normal', reason: 'ObjectRemade', action: 'Apply', note });
      }
      this.#failures.settle(key, isApplication);
      return changed;
    } catch (error) {
      if (!isTold(error)) throw error;
      // What goes with its namespace is not missed.
      if (isTerminating(error)) return goneMs;
      logger.warn({ code: error.code, error: error.message }, 'an object was refused');
      return this.#failures.note(key, name, error.message);
    }
  }

  async #act(
    key: string,
    seen: Seen,
    { act, plan: made }: { readonly act: Plan['act'] & object; readonly plan: Plan },
    context: ReconcileContext,
  ): Promise<ReconcileOutcome> {
    const { events, metrics, passFailpoint } = this.#options;
    const { cluster, kept, parts, view } = seen;
    const { signal, logger } = context;
    const call = act as CallAct;
    const name = namedAct(call);
    const pauseMs = this.#failures.pauseMs(key, name);
    if (pauseMs > 0) return { requeueAfterMs: pauseMs };
    const { leader } = readFacts(view);
    await passFailpoint('before-act', call.kind);
    try {
      await this.#actor.perform(call, {
        cluster,
        credentials: kept.credentials,
        leader: parts.addresses.find(({ ordinal }) => ordinal === leader?.ordinal),
        signal,
      });
    } catch (error) {
      // Something else is there by now than what was seen: it is looked at again.
      if (isConflict(error) || isNotFound(error)) return { requeue: true };
      if (!isEtlError(error) || error.code === 'ETL_CANCELLED' || error.code === 'ETL_NOT_LEADER')
        throw error;
      metrics.act(call.kind, 'failed');
      logger.warn({ act: call, code: error.code, error: error.message }, 'an act failed');
      return { requeueAfterMs: this.#failures.note(key, name, error.message) };
    }
    await passFailpoint('after-act', call.kind);
    metrics.act(call.kind, 'made');
    this.#failures.forget(key);
    logger.info({ act: call }, 'act made');
    for (const event of made.events) events.record(cluster, event);
    return { requeueAfterMs: made.requeueAfterMs };
  }

  /** Owner references take the objects along; volumes and the binding have none. */
  async #delete(
    key: string,
    cluster: EtlRouterCluster,
    context: ReconcileContext,
  ): Promise<ReconcileOutcome | undefined> {
    const { client, passFailpoint } = this.#options;
    const { signal } = context;
    if (!isHeld(cluster)) {
      this.#forget(key);
      return undefined;
    }
    const tidied = await this.#tidyUnlessAllGoes(key, cluster, signal);
    if (typeof tidied === 'object') return tidied;
    if (tidied === 'gone') {
      const applying = { client, applier: this.#applier };
      await deleteBinding(applying, bindingName(cluster.metadata), signal);
    }
    await passFailpoint('before-finalizer', cluster.metadata.name);
    const finalizer = { client, kind: clusterKind, finalizer: clusterFinalizer };
    await removeFinalizer(finalizer, this.#statuses.latest.of(key, cluster), signal);
    this.#forget(key);
    return undefined;
  }

  /** As {@link #tidy}; a namespace that is deleted loses its Role at once, and takes along what may not be seen then. */
  async #tidyUnlessAllGoes(
    key: string,
    cluster: EtlRouterCluster,
    signal: AbortSignal,
  ): Promise<Tidied> {
    try {
      return await this.#tidy(key, cluster, signal);
    } catch (error) {
      if (!isStatus(error, 403)) throw error;
      if (!(await this.#observer.isNamespaceGoing(cluster, signal))) throw error;
      return 'gone';
    }
  }

  /** Says that the cluster goes, and deletes the volumes that go with it. */
  async #tidy(key: string, cluster: EtlRouterCluster, signal: AbortSignal): Promise<Tidied> {
    const { clock } = this.#options;
    const { claims, pods } = await this.#observer.parts(cluster, signal);
    const { conditions } = plan({
      ...{ nowMs: clock.wallMs(), cluster, installed: this.#options.installed },
      ...{ objects: new Map(), pods, claims, words: [], certificates: { state: 'valid' } },
      failure: this.#failures.of(key),
    });
    const said = conditions.filter(({ type }) => type === 'Ready' || type === 'Progressing');
    const status = { ...cluster.status, conditions: merged(cluster, said, clock) };
    const written = await this.#statuses.write(cluster, status, signal);
    if (written === 'outdated') return { requeue: true };
    const set = await this.#observer.statefulSet(cluster, signal);
    if (isOrphaning(cluster, set)) return 'orphaned';
    const againMs = await this.#deleteVolumes(key, cluster, { set, claims, signal });
    return againMs === undefined ? 'gone' : { requeueAfterMs: againMs };
  }

  /**
   * The volumes that are to go, after the StatefulSet, whose controller would make them anew. The result is when to look
   * again: it may have made one meanwhile, or what was asked was refused.
   */
  async #deleteVolumes(
    key: string,
    cluster: EtlRouterCluster,
    { set, claims, signal }: Remains,
  ): Promise<number | undefined> {
    if (!volumesGo(cluster)) return undefined;
    const { client } = this.#options;
    const going = claims.filter((claim) => !claim.terminating && isClaimOf(cluster, claim));
    const isSetOurs = set !== undefined && controllerUid(set) === cluster.metadata.uid;
    if (!isSetOurs && going.length === 0) return undefined;
    const nobody = { credentials: undefined, leader: undefined };
    try {
      if (isSetOurs) await deleteWhatever(client, set, signal);
      for (const { name, uid } of going) {
        const act = { kind: 'deleteClaim', name, uid } as const;
        await this.#actor.perform(act, { cluster, ...nobody, signal });
      }
      return soonMs;
    } catch (error) {
      if (!isTold(error)) throw error;
      const wayOut = 'allow it, or set spec.storage.retention.whenDeleted to retain';
      return this.#failures.note(key, 'delete volumes', `${error.message}: ${wayOut}`);
    }
  }

  #forget(key: string): void {
    const { routers, metrics } = this.#options;
    routers.forget(key);
    metrics.forget(key);
    this.#keeper.forget(key);
    this.#failures.forget(key);
    this.#statuses.forget(key);
  }

  /** Looks again in time for the certificates, and never at all clusters in the same moment. */
  #paced(outcome: ReconcileOutcome, { checkAfterMs }: Kept): ReconcileOutcome {
    const { requeueAfterMs } = outcome;
    if (requeueAfterMs === undefined) return outcome;
    const afterMs = Math.min(requeueAfterMs, checkAfterMs);
    if (afterMs < jitterMinMs) return { requeueAfterMs: afterMs };
    return { requeueAfterMs: Math.round(afterMs * (1 + 0.1 * this.#options.random.next())) };
  }
}

/** Nothing is made in a namespace that is being deleted. */
function isTerminating(error: unknown): boolean {
  return (
    isStatus(error, 403) && error.causes.some(({ reason }) => reason === 'NamespaceTerminating')
  );
}

function isHeld({ metadata }: EtlRouterCluster): boolean {
  return metadata.finalizers?.includes(clusterFinalizer) === true;
}

function merged(
  cluster: EtlRouterCluster,
  claims: readonly ConditionClaim[],
  clock: Clock,
): EtlRouterClusterStatus['conditions'] & object {
  const { generation } = cluster.metadata;
  return withConditions(knownConditions(cluster), claims, { generation, clock });
}

function knownConditions({ status }: EtlRouterCluster): Parameters<typeof withConditions>[0] {
  return status?.conditions as Parameters<typeof withConditions>[0];
}

/** The plan's status with its conditions, of which those that are as before keep their times. */
function statusWith(cluster: EtlRouterCluster, made: Plan, clock: Clock): EtlRouterClusterStatus {
  return { ...made.status, conditions: merged(cluster, made.conditions, clock) };
}

/** What others refuse or can not do now: it is told in the status, and tried again ever later. */
function isTold(error: unknown): error is EtlError {
  if (!isEtlError(error) || isConflict(error)) return false;
  return error.code !== 'ETL_CANCELLED' && error.code !== 'ETL_NOT_LEADER';
}
