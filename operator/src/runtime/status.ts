// What is said of an object in its status: conditions as the API conventions have them, written when they say something
// new and not otherwise.

import type { Clock } from '@etl-router/core';
import { isConflict, isNotFound } from './api-error.ts';
import { sameJson } from './canonical.ts';
import { type KubeKind, type KubeObject, refOf } from './kube-object.ts';
import type { RawKube } from './raw-kube.ts';

/** One condition. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  /** One CamelCase word of a closed list. */
  readonly reason: string;
  readonly message: string;
  /** The generation of the spec that this was found for. */
  readonly observedGeneration?: number;
  /** When the status, not the words around it, last changed. */
  readonly lastTransitionTime: string;
}

/** What a condition is to say; times and generations are added. */
export type ConditionClaim = Pick<Condition, 'type' | 'status' | 'reason'> & {
  readonly message?: string;
};

/** The longest message that the server stores. */
const messageMaxLength = 32_768;

/**
 * The conditions after `claims`: those that are not claimed stay, in their place. A transition time is new only when the
 * status is.
 */
export function withConditions(
  known: readonly Condition[] | undefined,
  claims: readonly ConditionClaim[],
  at: { readonly generation?: number | undefined; readonly clock: Clock },
): Condition[] {
  const now = new Date(at.clock.wallMs()).toISOString().replace(/\.\d+Z$/, 'Z');
  const next = new Map((known ?? []).map((condition) => [condition.type, condition]));
  for (const { type, status, reason, message = '' } of claims) {
    const before = next.get(type);
    next.set(type, {
      type,
      status,
      reason,
      message: message.slice(0, messageMaxLength),
      ...(at.generation === undefined ? {} : { observedGeneration: at.generation }),
      lastTransitionTime: before?.status === status ? before.lastTransitionTime : now,
    });
  }
  return [...next.values()];
}

/** Conditions of which nothing is known yet: what an object bears from the first visit on. */
export function unknownConditions(types: readonly string[]): ConditionClaim[] {
  return types.map((type) => ({
    type,
    status: 'Unknown',
    reason: 'Pending',
    message: 'not looked at yet',
  }));
}

export interface StatusWriterOptions {
  readonly client: Pick<RawKube, 'applyStatus'>;
  readonly fieldManager: string;
}

/** An object that has a status. */
export interface WithStatus extends KubeObject {
  readonly status?: unknown;
}

/**
 * Writes the status when it differs from that of `object`. True when it was written; false when it was so already, or the
 * object is gone or another one by now.
 */
export async function writeStatus(
  options: StatusWriterOptions,
  kind: KubeKind,
  object: WithStatus,
  status: { readonly [field: string]: unknown },
): Promise<boolean> {
  if (sameJson(object.status ?? {}, status)) return false;
  const { name, namespace, uid } = object.metadata;
  const body = {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
    },
    status,
  };
  try {
    await options.client.applyStatus(refOf(kind, object), body, {
      fieldManager: options.fieldManager,
    });
    return true;
  } catch (error) {
    if (isNotFound(error) || isConflict(error)) return false;
    throw error;
  }
}
