// Events for people, in events.k8s.io/v1. What is said again within ten minutes is counted in a series instead of being
// written anew; an object that has much to say is heard less often. Events are a courtesy: what can not be written is
// dropped and counted, and nobody waits for them.

import { type Cancel, type Clock, type Logger, type Random, silentLogger } from '@etl-router/core';
import { isNotFound } from './api-error.ts';
import type { KubeObject, ObjectRef } from './kube-object.ts';
import { eventKind } from './kube-options.ts';
import { microTime } from './lease.ts';
import type { RuntimeMetrics } from './metrics.ts';
import type { RawKube } from './raw-kube.ts';
import { TokenBucket } from './token-bucket.ts';

const seriesMs = 600_000;
const seriesFlushMs = 60_000;
const seriesMax = 4096;
const pendingMax = 1000;
/** As client-go's filter: 25 at once for an object, then one in five minutes. */
const perObject = { burst: 25, perSecond: 1 / 300 };
const noteMaxBytes = 1024;

/** Something to say about an object. */
export interface EventClaim {
  readonly type: 'Normal' | 'Warning';
  /** Why: one CamelCase word. */
  readonly reason: string;
  /** What was done: one CamelCase word. */
  readonly action: string;
  /** A sentence. */
  readonly note: string;
}

interface Series {
  readonly ref: ObjectRef;
  readonly lastMs: number;
  readonly count: number;
  /** The count that the server knows of. */
  writtenCount: number;
}

export interface EventRecorderOptions {
  readonly client: Pick<RawKube, 'createEvent' | 'jsonPatch'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Who says so, such as `etl.router/operator`. */
  readonly controller: string;
  /** Which process of those: its pod. */
  readonly instance: string;
  readonly logger?: Logger;
  readonly metrics?: RuntimeMetrics;
}

export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #logger: Logger;
  readonly #series = new Map<string, Series>();
  readonly #buckets = new Map<string, TokenBucket>();
  #pending = 0;
  #tail: Promise<void> = Promise.resolve();
  #cancelFlush: Cancel | undefined;
  #closed = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    options.metrics?.eventsDropped.inc(0);
  }

  /** Says something; returns at once. */
  record(regarding: KubeObject, claim: EventClaim): void {
    if (this.#closed) return;
    const { uid = '' } = regarding.metadata;
    const key = [uid, claim.type, claim.reason, claim.action, claim.note].join('\n');
    const nowMs = this.#options.clock.monotonicMs();
    const known = this.#series.get(key);
    if (known !== undefined && nowMs - known.lastMs < seriesMs) {
      this.#keep(key, { ...known, lastMs: nowMs, count: known.count + 1 });
      this.#flushLater();
      return;
    }
    if (!this.#bucketOf(uid).tryTake() || this.#pending >= pendingMax) return this.#drop();
    const event = this.#eventOf(regarding, claim);
    const { name, namespace } = event.metadata;
    this.#keep(key, {
      ref: { kind: eventKind, namespace, name },
      lastMs: nowMs,
      count: 1,
      writtenCount: 1,
    });
    this.#send(async () => {
      await this.#options.client.createEvent(event);
    });
  }

  /** Writes the counts of series that went on, and what was said before; takes nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#flush();
    await this.#tail;
  }

  #eventOf(regarding: KubeObject, claim: EventClaim) {
    const { clock, random, controller, instance } = this.#options;
    const { name, namespace = 'default', uid, resourceVersion } = regarding.metadata;
    const suffix = `${clock.wallMs().toString(16)}${random.below(0x1_0000_0000).toString(16).padStart(8, '0')}`;
    return {
      apiVersion: eventKind.apiVersion,
      kind: eventKind.kind,
      metadata: { name: `${name.slice(0, 200).replace(/[^a-z0-9]+$/, '')}.${suffix}`, namespace },
      eventTime: microTime(this.#options.clock.wallMs()),
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      type: claim.type,
      reason: claim.reason,
      action: claim.action,
      note: clipped(claim.note, noteMaxBytes),
      regarding: {
        apiVersion: regarding.apiVersion,
        kind: regarding.kind,
        name,
        namespace: regarding.metadata.namespace,
        uid,
        resourceVersion,
      },
    };
  }

  /** Remembers a series, and of too many not the one that is longest ago. */
  #keep(key: string, series: Series): void {
    this.#series.delete(key);
    this.#series.set(key, series);
    const [oldest] = this.#series.keys();
    if (this.#series.size > seriesMax && oldest !== undefined) this.#series.delete(oldest);
  }

  #bucketOf(uid: string): TokenBucket {
    const bucket = this.#buckets.get(uid) ?? new TokenBucket(this.#options.clock, perObject);
    this.#buckets.delete(uid);
    this.#buckets.set(uid, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > seriesMax && oldest !== undefined) this.#buckets.delete(oldest);
    return bucket;
  }

  #flushLater(): void {
    this.#cancelFlush ??= this.#options.clock.after(seriesFlushMs, () => this.#flush());
  }

  #flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    for (const [key, series] of this.#series) {
      if (series.count === series.writtenCount) continue;
      series.writtenCount = series.count;
      const value = {
        count: series.count,
        lastObservedTime: microTime(this.#options.clock.wallMs()),
      };
      this.#send(async () => {
        try {
          await this.#options.client.jsonPatch(series.ref, [{ op: 'add', path: '/series', value }]);
        } catch (error) {
          // The server forgets events after an hour: the next one begins anew.
          if (isNotFound(error)) this.#series.delete(key);
          throw error;
        }
      });
    }
  }

  #send(write: () => Promise<void>): void {
    this.#pending += 1;
    this.#tail = this.#tail
      .then(write)
      .catch((error: unknown) => {
        this.#logger.debug(
          { error: error instanceof Error ? error.message : String(error) },
          'an event was not written',
        );
        this.#drop();
      })
      .finally(() => {
        this.#pending -= 1;
      });
  }

  #drop(): void {
    this.#options.metrics?.eventsDropped.inc();
  }
}

/** As much of a text as fits, in whole characters. */
function clipped(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  return bytes
    .subarray(0, maxBytes)
    .toString()
    .replace(/\uFFFD+$/, '');
}
