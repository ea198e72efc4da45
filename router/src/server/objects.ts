// The objects that people apply: parsed, validated, stored, listed and deleted. A pipeline may be applied before what
// it refers to; that is a warning, and the pipeline waits. Errors refuse the object and leave what runs alone.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { EtlError, isEtlError } from '@etl-router/core';
import {
  type Finding,
  formatFinding,
  isErrorFinding,
  type Manifest,
  type Normalized,
  normalizePipeline,
  type ObjectKind,
  objectKinds,
  type Pipeline,
  type PipelineState,
  parseManifests,
  validatePipeline,
} from '@etl-router/pipeline';
import { type PutObjectResult, type StoredObject, StoredObjectSchema } from '@etl-router/proto';
import { objectKey } from '../state/keys.ts';
import { fromCount, toCount } from './numbers.ts';
import {
  describeName,
  type ObjectName,
  type RouterObject,
  stateOf,
  toRouterObject,
  toStoredSpec,
  toStoredState,
} from './object-view.ts';
import type { ProposeOptions, Proposer } from './proposer.ts';
import { toPairs } from './service-view.ts';
import type { StateHost } from './state-host.ts';

/**
 * What else is to say about a manifest: settings of connectors, the guarantee. `pipeline` is set for pipelines that
 * were normalised. Standalone gives checks that know the connectors.
 */
export type ObjectCheck = (
  manifest: Manifest,
  pipeline: Pipeline | undefined,
) => readonly Finding[];

export interface ApplyOptions extends ProposeOptions {
  /** Refuse unless the object has this resource version; 0: unless there is none. */
  readonly expectedVersion?: number | undefined;
  /** Validate and say what would happen. */
  readonly dryRun?: boolean | undefined;
}

/** What became of a manifest. */
export interface ApplyOutcome {
  readonly name: ObjectName;
  /** Undefined when it was refused. */
  readonly outcome: 'created' | 'configured' | 'unchanged' | undefined;
  /** The object after it; undefined when it was refused, or would be created by what was a dry run. */
  readonly object: RouterObject | undefined;
  /** Errors when it was refused for them, and warnings such as references that do not resolve yet. */
  readonly findings: readonly Finding[];
  /** Why the store refused it; the findings have no error then. */
  readonly error?: EtlError | undefined;
}

/** What became of a text of manifests. */
export interface ApplyTextOutcome {
  /** In the order of the text; empty when one of its manifests has an error. */
  readonly outcomes: readonly ApplyOutcome[];
  /** Everything there is to say about the text. */
  readonly findings: readonly Finding[];
}

/** The objects of the router. */
export class Objects {
  readonly #host: StateHost;
  readonly #proposer: Proposer;
  readonly #checks: readonly ObjectCheck[];
  /** By the pipeline's row: what it came to, and the rows that had a part in it. */
  readonly #normalized = new WeakMap<
    StoredObject,
    {
      readonly result: Normalized;
      readonly uses: readonly (readonly [key: string, row: StoredObject | undefined])[];
    }
  >();

  constructor(parts: {
    readonly host: StateHost;
    readonly proposer: Proposer;
    readonly checks?: readonly ObjectCheck[];
  }) {
    this.#host = parts.host;
    this.#proposer = parts.proposer;
    this.#checks = parts.checks ?? [];
  }

  /**
   * Creates or changes the object of a manifest. Findings that are errors refuse it: `outcome` is undefined.
   * Throws what the store refuses it with, such as ETL_CONFLICT for another resource version.
   */
  async apply(manifest: Manifest, options: ApplyOptions = {}): Promise<ApplyOutcome> {
    const findings = this.check(manifest, [manifest]);
    const name = nameOf(manifest);
    if (findings.some(isErrorFinding))
      return { name, outcome: undefined, object: undefined, findings };
    return options.dryRun === true
      ? { ...this.#foresee(manifest, options), findings }
      : { ...(await this.#put(manifest, options)), findings };
  }

  /**
   * Applies every manifest of a YAML or JSON text, or none when one of them has an error. References may point to
   * each other in any order.
   */
  async applyText(
    text: string,
    options: ApplyOptions & { readonly namespace?: string | undefined } = {},
  ): Promise<ApplyTextOutcome> {
    const { namespace } = options;
    const parsed = parseManifests(text, namespace === undefined ? {} : { namespace });
    const { manifests } = parsed;
    const perObject = manifests.map((manifest) => this.check(manifest, manifests));
    const findings = [...parsed.findings, ...perObject.flat()];
    if (findings.some(isErrorFinding)) return { outcomes: [], findings };
    if (options.request !== undefined && manifests.length > 1) {
      throw new EtlError(
        'ETL_INVALID_ARGUMENT',
        'request_id: names one request; give it with one manifest, not with several',
      );
    }
    const byName = new Map<Manifest, ApplyOutcome>();
    for (const [index, manifest] of inDependencyOrder(manifests)) {
      const about = perObject[index] ?? [];
      byName.set(manifest, await this.#applyChecked(manifest, options, about));
    }
    return {
      outcomes: manifests.map((manifest) => byName.get(manifest) as ApplyOutcome),
      findings,
    };
  }

  /** What is to say about a manifest, with `others` as if they were applied. */
  check(manifest: Manifest, others: readonly Manifest[] = []): readonly Finding[] {
    if (manifest.kind !== 'EtlPipeline') return this.#runChecks(manifest, undefined);
    const { pipeline, findings } = this.normalize(manifest, others);
    if (pipeline === undefined) return findings;
    return [...findings, ...validatePipeline(pipeline), ...this.#runChecks(manifest, pipeline)];
  }

  /** The pipeline of a manifest, its references resolved among `others` and what is stored. */
  normalize(manifest: Manifest, others: readonly Manifest[] = []): Normalized {
    return normalizePipeline(manifest, (kind, namespace, name) => {
      const isIt = (other: Manifest): boolean =>
        other.kind === kind &&
        other.metadata.namespace === namespace &&
        other.metadata.name === name;
      return others.find(isIt) ?? this.get({ kind, namespace, name })?.manifest;
    });
  }

  /** The pipeline of a stored object; read anew only when it or something it refers to changed. */
  normalizeStored(row: StoredObject): Normalized {
    const { objects } = this.#host.tables;
    const known = this.#normalized.get(row);
    if (known?.uses.every(([key, used]) => objects.get(key) === used) === true) return known.result;
    const uses: (readonly [string, StoredObject | undefined])[] = [];
    const result = normalizePipeline(toRouterObject(row).manifest, (kind, namespace, name) => {
      const key = objectKey(kind, namespace, name);
      const used = objects.get(key);
      uses.push([key, used]);
      return used === undefined ? undefined : toRouterObject(used).manifest;
    });
    this.#normalized.set(row, { result, uses });
    return result;
  }

  get({ kind, namespace, name }: ObjectName): RouterObject | undefined {
    const row = this.#host.tables.objects.get(objectKey(kind, namespace, name));
    return row === undefined ? undefined : toRouterObject(row);
  }

  /** The objects that match, in order of kind, namespace and name. */
  list(
    filter: {
      readonly kind?: ObjectKind | undefined;
      readonly namespace?: string | undefined;
    } = {},
  ): readonly RouterObject[] {
    const objects: RouterObject[] = [];
    for (const row of this.#host.tables.objects.rows()) {
      if (filter.kind !== undefined && row.kind !== filter.kind) continue;
      if (filter.namespace !== undefined && row.namespace !== filter.namespace) continue;
      objects.push(toRouterObject(row));
    }
    return objects;
  }

  /** Deletes an object. With a pipeline go its assignment and its lanes; says how many lanes. */
  async delete(
    name: ObjectName,
    options: ProposeOptions & { readonly expectedVersion?: number | undefined } = {},
  ): Promise<{ readonly droppedLanes: number }> {
    const value = { ...name, ...expected(options.expectedVersion) };
    const { lanes } = await this.#proposer.ask(
      'droppedLanes',
      { case: 'deleteObject', value },
      options,
    );
    return { droppedLanes: lanes };
  }

  /** Runs, pauses or stops a pipeline. */
  async setPipelineState(
    pipeline: { readonly namespace: string; readonly name: string },
    state: PipelineState,
    options: ProposeOptions & { readonly expectedVersion?: number | undefined } = {},
  ): Promise<RouterObject> {
    const { namespace, name } = pipeline;
    const value = {
      namespace,
      name,
      state: toStoredState(state),
      ...expected(options.expectedVersion),
    };
    await this.#proposer.propose({ case: 'setPipelineState', value }, options);
    return this.#existing({ kind: 'EtlPipeline', namespace, name });
  }

  async #applyChecked(
    manifest: Manifest,
    options: ApplyOptions,
    findings: readonly Finding[],
  ): Promise<ApplyOutcome> {
    try {
      if (options.dryRun === true) return { ...this.#foresee(manifest, options), findings };
      return { ...(await this.#put(manifest, options)), findings };
    } catch (error) {
      if (!isEtlError(error)) throw error;
      return { name: nameOf(manifest), outcome: undefined, object: undefined, findings, error };
    }
  }

  async #put(manifest: Manifest, options: ApplyOptions): Promise<Omit<ApplyOutcome, 'findings'>> {
    const { labels, annotations } = manifest.metadata;
    const name = nameOf(manifest);
    const value = {
      ...name,
      labels: toPairs(labels),
      annotations: toPairs(annotations),
      spec: toStoredSpec(manifest),
      pipelineState: stateOf(manifest),
      ...expected(options.expectedVersion),
    };
    const result = await this.#proposer.ask('putObject', { case: 'putObject', value }, options);
    const outcome = result.created ? 'created' : result.changed ? 'configured' : 'unchanged';
    return { name, outcome, object: this.#asWritten(value, result) };
  }

  /** The object as that write left it; what is stored may be of a later one by the time that the answer is read. */
  #asWritten(
    written: MessageInitShape<typeof StoredObjectSchema> & ObjectName,
    result: PutObjectResult,
  ): RouterObject {
    const { uid, resourceVersion, generation, createdAtNs, updatedAtNs } = result;
    const stored = this.get(written);
    if (stored?.resourceVersion === toCount(resourceVersion)) return stored;
    const row = { ...written, uid, resourceVersion, generation, createdAtNs, updatedAtNs };
    return toRouterObject(create(StoredObjectSchema, row));
  }

  /** What applying would do. */
  #foresee(manifest: Manifest, options: ApplyOptions): Omit<ApplyOutcome, 'findings'> {
    const name = nameOf(manifest);
    const row = this.#host.tables.objects.get(objectKey(name.kind, name.namespace, name.name));
    const found = row?.resourceVersion ?? 0n;
    if (
      options.expectedVersion !== undefined &&
      fromCount('expected_version', options.expectedVersion) !== found
    ) {
      throw new EtlError(
        'ETL_CONFLICT',
        `${describeName(name)} is at resource version ${found}, not ${options.expectedVersion}`,
      );
    }
    if (row === undefined) return { name, outcome: 'created', object: undefined };
    const stored = toRouterObject(row).manifest;
    const same =
      toStoredSpec(manifest).equals(toStoredSpec(stored)) &&
      stateOf(manifest) === row.pipelineState &&
      JSON.stringify(toPairs(manifest.metadata.labels)) ===
        JSON.stringify(toPairs(stored.metadata.labels)) &&
      JSON.stringify(toPairs(manifest.metadata.annotations)) ===
        JSON.stringify(toPairs(stored.metadata.annotations));
    return { name, outcome: same ? 'unchanged' : 'configured', object: toRouterObject(row) };
  }

  #existing(name: ObjectName): RouterObject {
    const object = this.get(name);
    if (object !== undefined) return object;
    throw new EtlError('ETL_NOT_FOUND', `${describeName(name)} was deleted meanwhile`);
  }

  #runChecks(manifest: Manifest, pipeline: Pipeline | undefined): readonly Finding[] {
    return this.#checks.flatMap((check) => check(manifest, pipeline));
  }
}

/** The findings that are errors as one error, for callers that answer with one. */
export function findingsError(findings: readonly Finding[]): EtlError {
  const errors = findings.filter(isErrorFinding);
  const lines = errors.slice(0, 20).map(formatFinding);
  const rest = errors.length - lines.length;
  return new EtlError(
    'ETL_INVALID_ARGUMENT',
    rest > 0 ? `${lines.join('\n')}\n… and ${rest} more` : lines.join('\n'),
    { details: { errors: errors.length } },
  );
}

function nameOf({ kind, metadata }: Manifest): ObjectName {
  return { kind, namespace: metadata.namespace, name: metadata.name };
}

function expected(version: number | undefined): { expectedVersion?: bigint } {
  return version === undefined ? {} : { expectedVersion: fromCount('expected_version', version) };
}

/** Sources, transforms and sinks before the pipelines that name them; each with its place in the text. */
function inDependencyOrder(
  manifests: readonly Manifest[],
): readonly (readonly [number, Manifest])[] {
  const rank = (manifest: Manifest): number => objectKinds.indexOf(manifest.kind);
  return Array.from(manifests.entries()).sort(([, a], [, b]) => rank(a) - rank(b));
}
