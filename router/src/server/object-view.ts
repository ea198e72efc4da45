// Objects as the server speaks of them, and their stored form. The state of a pipeline is stored apart from its spec;
// here the two come together again.

import { stringifyJson } from '@etl-router/core';
import {
  apiVersion,
  type JsonObject,
  type Manifest,
  type ObjectKind,
  type PipelineState,
} from '@etl-router/pipeline';
import { type StoredObject, StoredPipelineState } from '@etl-router/proto';
import { msOfNs, toCount } from './numbers.ts';
import { decodeJsonObject } from './pipeline-json.ts';
import { fromPairs } from './service-view.ts';

/** An object as it is stored. */
export interface RouterObject {
  readonly manifest: Manifest;
  /** Unique for all time. */
  readonly uid: string;
  /** Changes with every write. */
  readonly resourceVersion: number;
  /** Changes with the spec. */
  readonly generation: number;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** Names an object. */
export interface ObjectName {
  readonly kind: ObjectKind;
  readonly namespace: string;
  readonly name: string;
}

const storedStates: { readonly [state in PipelineState]: StoredPipelineState } = {
  running: StoredPipelineState.RUNNING,
  paused: StoredPipelineState.PAUSED,
  stopped: StoredPipelineState.STOPPED,
};

/** The state of a pipeline as stored. */
export function toStoredState(state: PipelineState): StoredPipelineState {
  return storedStates[state];
}

/** The state of a stored pipeline. */
export function fromStoredState(state: StoredPipelineState): PipelineState {
  if (state === StoredPipelineState.PAUSED) return 'paused';
  return state === StoredPipelineState.STOPPED ? 'stopped' : 'running';
}

/** The spec as stored: its fields as they were written, for their order may have a meaning, without a pipeline's state. */
export function toStoredSpec({ kind, spec }: Manifest): Buffer {
  if (kind !== 'EtlPipeline') return stringifyJson(spec);
  const { state: _state, ...rest } = spec;
  return stringifyJson(rest);
}

/** The state that a pipeline's manifest asks for. */
export function stateOf({ kind, spec }: Manifest): StoredPipelineState {
  if (kind !== 'EtlPipeline') return StoredPipelineState.UNSPECIFIED;
  const { state } = spec as { readonly state?: PipelineState };
  return toStoredState(state ?? 'running');
}

const views = new WeakMap<StoredObject, RouterObject>();

/** A stored object. A row never changes, so its spec is parsed once. */
export function toRouterObject(row: StoredObject): RouterObject {
  const known = views.get(row);
  if (known !== undefined) return known;
  const view: RouterObject = {
    manifest: toManifest(row),
    uid: row.uid,
    resourceVersion: toCount(row.resourceVersion),
    generation: toCount(row.generation),
    createdAtMs: msOfNs(row.createdAtNs),
    updatedAtMs: msOfNs(row.updatedAtNs),
  };
  views.set(row, view);
  return view;
}

function toManifest(row: StoredObject): Manifest {
  const kind = row.kind as ObjectKind;
  const spec = decodeJsonObject(row.spec);
  const withState: JsonObject =
    kind === 'EtlPipeline' ? { state: fromStoredState(row.pipelineState), ...spec } : spec;
  return {
    apiVersion,
    kind,
    metadata: {
      name: row.name,
      namespace: row.namespace,
      labels: fromPairs(row.labels),
      annotations: fromPairs(row.annotations),
    },
    spec: withState,
  };
}

/** `Kind namespace/name`. */
export function describeName({ kind, namespace, name }: ObjectName): string {
  return `${kind} ${namespace}/${name}`;
}
