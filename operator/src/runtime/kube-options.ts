// What the calls to the API server take and give.

import type { CallOptions } from './kube-caller.ts';
import type { KubeKind, KubeObject } from './kube-object.ts';

/** Which objects of a kind. */
export interface Selection {
  /** Default: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Metadata alone (PartialObjectMetadata): what else an object holds never enters this process. */
  readonly metadataOnly?: boolean;
}

export interface Page<T extends KubeObject> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  /** Present while there is more. */
  readonly continue?: string;
}

export interface PageOptions extends CallOptions {
  /** Objects in a page. Default 500. */
  readonly limit?: number;
  readonly continue?: string | undefined;
  /** `0`: from the server's cache, as old as that is. */
  readonly resourceVersion?: string | undefined;
}

export interface WatchOptions {
  readonly resourceVersion: string;
  /** After which the server ends the stream. */
  readonly timeoutSeconds: number;
  /** After so much silence the stream is ended from here. */
  readonly inactivityMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** An operation of RFC 6902. A `test` that fails is answered with 422, and nothing happens. */
export interface JsonPatchOperation {
  readonly op: 'test' | 'add' | 'replace' | 'remove';
  readonly path: string;
  readonly value?: unknown;
}

export interface DeleteOptions extends CallOptions {
  /** Deletes that very object: another of the same name is a conflict. */
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan';
  readonly gracePeriodSeconds?: number;
}

export interface ApplyOptions extends CallOptions {
  readonly fieldManager: string;
  /** Takes fields over from other managers. Default true. */
  readonly force?: boolean;
}

/** Events, as events.k8s.io has them. */
export const eventKind: KubeKind = {
  apiVersion: 'events.k8s.io/v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
};

/** The part of a query that selects. */
export function selectorsOf(selection: Selection): {
  readonly labelSelector: string | undefined;
  readonly fieldSelector: string | undefined;
} {
  const { labelSelector, fieldSelector } = selection;
  return { labelSelector, fieldSelector };
}

/** What to accept so that the server sends metadata alone. */
export function metadataAs(kind: 'PartialObjectMetadata' | 'PartialObjectMetadataList'): string {
  return `application/json;as=${kind};g=meta.k8s.io;v=v1`;
}
