// Keeps the certificates of a cluster: reads what is stored when it changed, takes one step after the other, and writes
// one object in each, bound to the very version that the step was made from. Keys are in this process while a step needs
// them, but for the operator's own, which its calls are signed with.

import { type Clock, EtlError, isEtlError, type Logger, parseDuration } from '@etl-router/core';
import type { EtlRouterCluster } from '@etl-router/crds';
import {
  type CertificateRules,
  type CertificateState,
  certificatesViewOf,
  planCertificates,
} from '../certificates/rotation.ts';
import {
  changedAtAnnotation,
  memberNames,
  operatorNames,
  readState,
  type StoreChange,
  type Stored,
  type StoredData,
  type StoreName,
  takeStep,
} from '../certificates/store.ts';
import type { PassFailpoint } from '../failpoint.ts';
import type { RouterCredentials } from '../router-client.ts';
import {
  ApiError,
  isConflict,
  isNotFound,
  isStatus,
  type StatusCause,
} from '../runtime/api-error.ts';
import {
  type KubeKind,
  type KubeObject,
  keyOf,
  refOf,
  type UntypedObject,
} from '../runtime/kube-object.ts';
import { controllerReference } from '../runtime/ownership.ts';
import type { RawKube } from '../runtime/raw-kube.ts';
import type { ClusterCaches } from './caches.ts';
import { secretKind } from './kinds.ts';
import { childKinds, labelsOf } from './objects.ts';
import type { CertificatesView } from './view.ts';

/** Steps of one run: a new cluster needs four, a new authority five over time. */
const stepsMax = 8;

export interface KeeperOptions {
  readonly client: RawKube;
  readonly caches: ClusterCaches;
  readonly clock: Clock;
  readonly passFailpoint: PassFailpoint;
}

/** What the keeper came to. */
export interface Kept {
  readonly view: CertificatesView;
  /** What the operator shows the members; undefined: it has nothing to show yet. */
  readonly credentials: RouterCredentials | undefined;
  readonly checkAfterMs: number;
}

interface Known {
  /** Of what the rest was read from. */
  readonly versions: string;
  /** Without `nowMs` it has no key and no secret. */
  readonly state: CertificateState;
  readonly credentials: RouterCredentials | undefined;
  /** The caches showed all of it since. */
  readonly isShown: boolean;
  readonly readAtMs: number;
}

/** An object of the store as it was read. */
interface Read {
  readonly objects: { readonly [Name in StoreName]: UntypedObject | undefined };
  readonly stored: Stored;
}

const storeNames: readonly StoreName[] = ['authority', 'bundle', 'members', 'operator'];
const unknownCheckMs = 15_000;
/** How long caches may not know what was just written. */
const cacheLagMs = 30_000;

export class CertificateKeeper {
  readonly #options: KeeperOptions;
  readonly #known = new Map<string, Known>();

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Takes the steps that are due, unless nothing may be written; says how things are then. */
  async keep(
    cluster: EtlRouterCluster,
    how: { readonly mayWrite: boolean; readonly signal: AbortSignal; readonly logger: Logger },
  ): Promise<Kept> {
    const rules = rulesOf(cluster);
    let known = await this.#read(cluster, how.signal);
    if (how.mayWrite && rules !== undefined) {
      try {
        const renewed = await this.#takeSteps(cluster, known, { ...how, rules });
        if ('checkAfterMs' in renewed) return renewed;
        known = renewed;
      } catch (error) {
        if (known.credentials === undefined || !isRefusal(error)) throw error;
        const { code, message } = error;
        how.logger.warn({ code, error: message }, 'certificates are not kept');
        return this.#pendingKept(message, known);
      }
    }
    const state = this.#at(known.state);
    // A step that is due and may not be taken is due again at once.
    const checkAfterMs =
      rules === undefined || !how.mayWrite
        ? unknownCheckMs
        : planCertificates(state, rules).checkAfterMs;
    return {
      view: certificatesViewOf(state),
      credentials: known.credentials,
      checkAfterMs: Math.max(1000, checkAfterMs),
    };
  }

  forget(key: string): void {
    this.#known.delete(key);
  }

  #nowMs(): number {
    return this.#options.clock.wallMs();
  }

  #at(state: CertificateState): CertificateState {
    return { ...state, nowMs: this.#nowMs() };
  }

  /** They are not renewed; those that there are go on to be shown. */
  #pendingKept(message: string, { state, credentials }: Known): Kept {
    const view = { ...certificatesViewOf(this.#at(state)), state: 'pending', message } as const;
    return { view, credentials, checkAfterMs: unknownCheckMs };
  }

  /** Takes one step after the other; an object of somebody else ends it. */
  async #takeSteps(
    cluster: EtlRouterCluster,
    before: Known,
    how: {
      readonly rules: CertificateRules;
      readonly signal: AbortSignal;
      readonly logger: Logger;
    },
  ): Promise<Known | Kept> {
    let known = before;
    let read: Read | undefined;
    for (let step = 0; step < stepsMax; step++) {
      if (planCertificates(this.#at(known.state), how.rules).step === undefined) break;
      read ??= await this.#fetch(cluster, how.signal);
      const stranger = strangerOf(cluster, read);
      if (stranger !== undefined) {
        const { kind, metadata } = stranger;
        const message = `${kind} ${metadata.name} is there and belongs to somebody else: rename or delete it.`;
        return this.#pendingKept(message, known);
      }
      read = await this.#takeNext(cluster, read, how);
      known = this.#note(cluster, read);
    }
    return known;
  }

  /** What is stored, read anew only when the caches show something else than what was read. */
  async #read(cluster: EtlRouterCluster, signal: AbortSignal): Promise<Known> {
    const known = this.#known.get(keyOf(cluster));
    const versions = this.#cachedVersions(cluster);
    if (known !== undefined && versions === known.versions) {
      this.#known.set(keyOf(cluster), { ...known, isShown: true });
      return known;
    }
    // What the caches never showed they do not know yet; what they showed and do not show any more was deleted.
    const isNew = known?.isShown === false && versions === undefined;
    const nowMs = this.#options.clock.monotonicMs();
    if (known !== undefined && isNew && nowMs - known.readAtMs < cacheLagMs) return known;
    return this.#note(cluster, await this.#fetch(cluster, signal));
  }

  #note(cluster: EtlRouterCluster, read: Read): Known {
    const state = readState(read.stored, this.#nowMs());
    const versions = versionsOf(storeNames.map((name) => read.objects[name]));
    const readAtMs = this.#options.clock.monotonicMs();
    const known = { versions, state, credentials: credentialsOf(read), isShown: false, readAtMs };
    this.#known.set(keyOf(cluster), known);
    return known;
  }

  /** Undefined while a cache does not know all of them. */
  #cachedVersions(cluster: EtlRouterCluster): string | undefined {
    const { caches } = this.#options;
    const found = storeNames.map((name) => {
      const metadata = metadataOf(cluster, name);
      return name === 'bundle'
        ? caches.child('ConfigMap', { metadata })
        : caches.secrets.get(keyOf({ metadata }));
    });
    return found.some((each) => each === undefined) ? undefined : versionsOf(found);
  }

  async #fetch(cluster: EtlRouterCluster, signal: AbortSignal): Promise<Read> {
    const { client } = this.#options;
    const found = await Promise.all(
      storeNames.map(async (name): Promise<readonly [StoreName, UntypedObject | undefined]> => {
        const { name: object, namespace } = metadataOf(cluster, name);
        try {
          const ref = { kind: kindOf(name), namespace, name: object };
          return [name, await client.get<UntypedObject>(ref, { signal })];
        } catch (error) {
          if (isNotFound(error)) return [name, undefined];
          throw error;
        }
      }),
    );
    const objects = Object.fromEntries(found) as unknown as Read['objects'];
    const stored = Object.fromEntries(
      found.map(([name, object]) => [
        name,
        object === undefined ? undefined : storedOf(name, object),
      ]),
    ) as unknown as Stored;
    return { objects, stored };
  }

  /** What is stored after the step that follows from what is stored. */
  async #takeNext(
    cluster: EtlRouterCluster,
    read: Read,
    how: {
      readonly rules: CertificateRules;
      readonly signal: AbortSignal;
      readonly logger: Logger;
    },
  ): Promise<Read> {
    const { clock, passFailpoint } = this.#options;
    const { rules, signal, logger } = how;
    const { stored } = read;
    const { step } = planCertificates(readState(stored, this.#nowMs()), rules);
    if (step === undefined) return read;
    await passFailpoint('before-certificate', step.kind);
    const change = await takeStep(step, { stored, rules, clock, cluster: keyOf(cluster) });
    const object = await this.#write(cluster, read, change, signal);
    logger.info({ step: step.kind, store: change.name }, 'certificates changed');
    await passFailpoint('after-certificate', step.kind);
    return {
      objects: { ...read.objects, [change.name]: object },
      stored: { ...stored, [change.name]: storedOf(change.name, object) },
    };
  }

  async #write(
    cluster: EtlRouterCluster,
    read: Read,
    change: StoreChange,
    signal: AbortSignal,
  ): Promise<UntypedObject> {
    const { client } = this.#options;
    const { name, data } = change;
    const kind = kindOf(name);
    const current = read.objects[name];
    const encoded = encode(name, data);
    const metadata = metadataOf(cluster, name);
    const marks = { [changedAtAnnotation]: new Date(this.#nowMs()).toISOString() };
    try {
      if (current === undefined) {
        const { apiVersion, kind: kindName } = kind;
        const type = name === 'bundle' ? {} : { type: typeOf(name) };
        const object = {
          apiVersion,
          kind: kindName,
          metadata: { ...metadata, annotations: marks },
        };
        const whole: UntypedObject = { ...object, ...type, data: encoded };
        return await client.create(kind, whole, { signal });
      }
      const { annotations, resourceVersion } = current.metadata;
      return await client.jsonPatch<UntypedObject>(
        refOf(kind, current),
        [
          { op: 'test', path: '/metadata/resourceVersion', value: resourceVersion },
          { op: 'add', path: '/data', value: encoded },
          { op: 'add', path: '/metadata/annotations', value: { ...annotations, ...marks } },
          { op: 'add', path: '/metadata/labels', value: metadata.labels },
        ],
        { signal },
      );
    } catch (error) {
      if (!isConflict(error) && !isStatus(error, 422)) throw error;
      throw new EtlError(
        'ETL_CONFLICT',
        `${kind.kind} ${keyOf({ metadata })} changed while its certificates were; they are read again`,
        { cause: error, retryable: true },
      );
    }
  }
}

/** How long what lives; undefined: the spec does not say it in a way that can be read. */
function rulesOf({ metadata, spec }: EtlRouterCluster): CertificateRules | undefined {
  const { name, namespace } = metadata;
  try {
    return {
      certificateMs: parseDuration(spec.tls.certificateDuration),
      renewBeforeMs: parseDuration(spec.tls.renewBefore),
      authorityMs: parseDuration(spec.tls.authorityDuration),
      memberNames: memberNames(name, namespace),
      operatorNames,
    };
  } catch {
    // What is stored was let in by an older schema: Accepted says so, and nothing is made from it.
    return undefined;
  }
}

const suffixes: { readonly [Name in StoreName]: string } = {
  authority: 'ca',
  bundle: 'ca',
  members: 'tls',
  operator: 'operator-client',
};

function metadataOf(cluster: EtlRouterCluster, store: StoreName) {
  const { name, namespace } = cluster.metadata;
  return {
    name: `${name}-${suffixes[store]}`,
    namespace,
    labels: labelsOf(name),
    ownerReferences: [controllerReference(cluster)],
  };
}

function kindOf(store: StoreName): KubeKind {
  return store === 'bundle' ? (childKinds['ConfigMap'] as KubeKind) : secretKind;
}

function typeOf(store: StoreName): string {
  return store === 'authority' ? 'Opaque' : 'kubernetes.io/tls';
}

function encode(store: StoreName, data: StoreChange['data']): { readonly [key: string]: string } {
  if (store === 'bundle') return data;
  return Object.fromEntries(
    Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
  );
}

function storedOf(store: StoreName, object: UntypedObject): StoredData {
  const data = (object['data'] ?? {}) as { readonly [key: string]: string };
  const decode = (text: string): string => Buffer.from(text, 'base64').toString();
  const plain = store === 'bundle' ? data : mapValues(data, decode);
  const mark = object.metadata.annotations?.[changedAtAnnotation] ?? '';
  return { data: plain, changedAtMs: Date.parse(mark) || 0 };
}

function mapValues(
  data: { readonly [key: string]: string },
  change: (text: string) => string,
): { readonly [key: string]: string } {
  return Object.fromEntries(Object.entries(data).map(([key, text]) => [key, change(text)]));
}

function versionsOf(objects: readonly (KubeObject | undefined)[]): string {
  return objects
    .map((object) => `${object?.metadata.uid}/${object?.metadata.resourceVersion}`)
    .join(' ');
}

function credentialsOf({ stored }: Read): RouterCredentials | undefined {
  const { 'tls.crt': certificate = '', 'tls.key': key = '' } = stored.operator?.data ?? {};
  const { 'ca.crt': authorities = '' } = stored.bundle?.data ?? {};
  const isWhole = [certificate, key, authorities].every((text) => text !== '');
  return isWhole ? { authorities, certificate, key } : undefined;
}

/** An object of one of the names that belongs to somebody else. */
function strangerOf({ metadata }: EtlRouterCluster, { objects }: Read): UntypedObject | undefined {
  return storeNames
    .flatMap((name) => objects[name] ?? [])
    .find(
      (object) =>
        object.metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid !==
        metadata.uid,
    );
}

/** Trying again at once does not help, and the cluster is not on its way out. */
function isRefusal(error: unknown): error is EtlError {
  if (!isEtlError(error) || error.retryable || ended.includes(error.code)) return false;
  const isTerminating = ({ reason }: StatusCause): boolean => reason === 'NamespaceTerminating';
  return !(error instanceof ApiError && error.causes.some(isTerminating));
}

/** The run is over, whatever it was about. */
const ended: readonly string[] = ['ETL_CANCELLED', 'ETL_NOT_LEADER'];
