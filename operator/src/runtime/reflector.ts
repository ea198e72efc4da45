// Keeps a copy of a kind in step with the server: list, then watch from there. A stream that ends is opened again where it
// ended; one that is too old, or breaks on 410, is preceded by a new list, and what vanished in between is told as deleted.
// No error ends it: it waits, longer each time, and goes on. Now and then the server's list is held against the copy;
// what no watch had told is counted and put right.

import {
  type Clock,
  type Logger,
  type Random,
  silentLogger,
  sleep,
  toEtlError,
} from '@etl-router/core';
import { ApiError, isExpired, isRefusal, isStatus } from './api-error.ts';
import { Backoff } from './backoff.ts';
import { linkSignal } from './kube-caller.ts';
import { type KubeKind, type KubeObject, keyOf } from './kube-object.ts';
import type { Selection } from './kube-options.ts';
import { listAll } from './list-all.ts';
import type { RelistReason, RuntimeMetrics } from './metrics.ts';
import type { RawKube } from './raw-kube.ts';
import type { WatchEvent } from './watch-stream.ts';

/** A watch that lived shorter and said nothing counts as a failure. */
const shortWatchMs = 1000;
/** How long the server may take to notice its own timeout before the stream is ended from here. */
const inactivityGraceMs = 30_000;
/** A list younger than this is not expired for its age. */
const freshListMs = 10_000;
/** How long a change that a check found may still be under way in the stream. */
const suspicionMs = 30_000;

/** Where a reflector puts what it learns. Its calls never throw. */
export interface ReflectorTarget<T extends KubeObject> {
  /** Everything there is: what is not among the items is gone. */
  replace(items: readonly T[]): void;
  /** One change. */
  change(event: WatchEvent<T>): void;
  /** The server refuses the kind; what is held stays as it is. */
  refused(): void;
  /** The resource version of everything held, by key. */
  versions(): ReadonlyMap<string, string>;
}

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: RawKube;
  readonly kind: KubeKind;
  readonly selection?: Selection;
  readonly target: ReflectorTarget<T>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger;
  readonly metrics?: RuntimeMetrics;
  /** Between two comparisons with a list. Default 10 minutes. */
  readonly checkIntervalMs?: number;
  /** Objects in a page of a list. Default 500. */
  readonly pageSize?: number;
}

export class Reflector<T extends KubeObject> {
  readonly #options: ReflectorOptions<T>;
  readonly #selection: Selection;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  #version: string | undefined;
  #reason: RelistReason = 'start';
  #synced = false;
  #listedAtMs = Number.NEGATIVE_INFINITY;
  #lastEventAtMs: number | undefined;
  #failure: Error | undefined;
  #refusedAtMs: number | undefined;
  #endWatch: (() => void) | undefined;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#selection = options.selection ?? {};
    this.#logger = options.logger ?? silentLogger;
    // A server that is back after a while is looked at soon: a change waits for the last of all informers.
    this.#backoff = new Backoff({ firstMs: 800, maxMs: 10_000 }, options.random);
    options.metrics?.addInformer(options.kind.plural);
  }

  /** True once the first list has reached the target. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Monotonic time of the last thing that the server said; undefined before it said any. */
  get lastEventAtMs(): number | undefined {
    return this.#lastEventAtMs;
  }

  /** Why the copy is not being kept in step at this moment, if it is not. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** For how long the server has refused the kind; undefined: it showed it last. */
  get refusedForMs(): number | undefined {
    if (this.#refusedAtMs === undefined) return undefined;
    return this.#options.clock.monotonicMs() - this.#refusedAtMs;
  }

  /** Runs until `signal` aborts; never fails before. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#follow(signal), this.#checkNowAndThen(signal)]);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        this.#version ??= await this.#list(signal);
        await this.#watch(this.#version, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#note(toEtlError(error));
        if (isExpired(error)) {
          this.#version = undefined;
          this.#reason = 'expired';
        }
        const askedMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0;
        const waitMs = Math.max(askedMs, this.#pauseAfter(error));
        await sleep(this.#options.clock, waitMs, signal).catch(() => undefined);
      }
    }
  }

  /**
   * Whoever hears after a long absence that his version is too old has waited already, and lists anew at once; but not
   * again and again.
   */
  #pauseAfter(error: unknown): number {
    const sinceListMs = this.#options.clock.monotonicMs() - this.#listedAtMs;
    return isExpired(error) && sinceListMs > freshListMs ? 0 : this.#backoff.nextMs();
  }

  /** Lists all pages and hands them over; the version that a watch goes on from. */
  async #list(signal: AbortSignal): Promise<string> {
    const { client, kind, target, metrics, pageSize = 500 } = this.#options;
    const reason = this.#reason;
    this.#listedAtMs = this.#options.clock.monotonicMs();
    metrics?.relists.inc({ kind: kind.plural, reason });
    const { items, resourceVersion } = await listAll<T>(client, kind, this.#selection, {
      signal,
      limit: pageSize,
      // The first list may be as old as the server's cache. A later one must not: it would take back what was seen.
      resourceVersion: reason === 'start' ? '0' : undefined,
    });
    target.replace(items);
    this.#synced = true;
    this.#heard();
    return resourceVersion;
  }

  async #watch(from: string, signal: AbortSignal): Promise<void> {
    const { client, kind, clock, random, target, metrics } = this.#options;
    // Spread, so that watches opened together do not end together.
    const timeoutSeconds = 240 + random.below(121);
    const inactivityMs = timeoutSeconds * 1000 + inactivityGraceMs;
    const ending = new AbortController();
    const unlink = linkSignal(signal, ending);
    const startMs = clock.monotonicMs();
    let said = false;
    try {
      this.#endWatch = () => ending.abort(new Error('a list is due'));
      const options = {
        resourceVersion: from,
        timeoutSeconds,
        inactivityMs,
        signal: ending.signal,
      };
      const events = await client.watch<T>(kind, this.#selection, options);
      this.#reached();
      for await (const event of events) {
        said = true;
        this.#heard();
        if (event.type !== 'BOOKMARK') target.change(event);
        if (this.#version !== undefined)
          this.#version = event.object.metadata.resourceVersion ?? this.#version;
      }
    } catch (error) {
      // Ended from here because a list is due: no failure.
      if (!ending.signal.aborted || signal.aborted || this.#version !== undefined) throw error;
      return;
    } finally {
      this.#endWatch = undefined;
      unlink();
      metrics?.reconnects.inc({ kind: kind.plural });
    }
    if (!said && clock.monotonicMs() - startMs < shortWatchMs) {
      throw new Error(`watch of ${kind.plural}: the server ended it at once`);
    }
    this.#heard();
  }

  async #checkNowAndThen(signal: AbortSignal): Promise<void> {
    const { clock, random, checkIntervalMs = 600_000, kind } = this.#options;
    while (!signal.aborted) {
      await sleep(clock, checkIntervalMs * (0.9 + 0.2 * random.next()), signal).catch(
        () => undefined,
      );
      if (signal.aborted) return;
      try {
        await this.#check(signal);
      } catch (error) {
        if (!signal.aborted)
          this.#logger.debug({ kind: kind.plural, error }, 'comparison with a list failed');
      }
    }
  }

  /** Compares the copy with a list. What differs and is not explained by the stream soon after was missed. */
  async #check(signal: AbortSignal): Promise<void> {
    const { clock, target, kind, metrics } = this.#options;
    if (!this.#synced || this.#failure !== undefined) return;
    const listed = await this.#listVersions(signal);
    const held = new Map(target.versions());
    const suspects = [...new Set([...listed.keys(), ...held.keys()])].filter(
      (key) => listed.get(key) !== held.get(key),
    );
    if (suspects.length === 0) return;
    await sleep(clock, suspicionMs, signal);
    const now = target.versions();
    const missed = suspects.filter((key) => now.get(key) === held.get(key));
    if (missed.length === 0) return;
    metrics?.cacheMisses.inc({ kind: kind.plural }, missed.length);
    this.#logger.warn(
      { kind: kind.plural, missed: missed.slice(0, 10) },
      'a list shows what no watch had told; listing anew',
    );
    this.#version = undefined;
    this.#reason = 'check';
    this.#endWatch?.();
  }

  async #listVersions(signal: AbortSignal): Promise<Map<string, string>> {
    const { client, kind, pageSize = 500 } = this.#options;
    const selection = { ...this.#selection, metadataOnly: true };
    const { items } = await listAll(client, kind, selection, { signal, limit: pageSize });
    return new Map(items.map((item) => [keyOf(item), item.metadata.resourceVersion ?? '']));
  }

  #reached(): void {
    if (this.#failure !== undefined) {
      this.#logger.info(this.#place, 'in step with the server again');
    }
    this.#failure = undefined;
    this.#refusedAtMs = undefined;
  }

  #heard(): void {
    const { clock, kind, metrics } = this.#options;
    this.#reached();
    this.#backoff.reset();
    this.#lastEventAtMs = clock.monotonicMs();
    metrics?.lastEvent.set({ kind: kind.plural }, clock.wallMs() / 1000);
  }

  #note(error: Error): void {
    const { kind, target } = this.#options;
    // A right that is missing is told even to those who heard that the server was away.
    const isNew =
      this.#failure === undefined || (isRefusal(error) && this.#refusedAtMs === undefined);
    const missing = isStatus(error, 403) ? { missing: `list and watch of ${kind.plural}` } : {};
    this.#failure = error;
    if (isRefusal(error)) this.#refusedAtMs ??= this.#options.clock.monotonicMs();
    this.#logger[isNew ? 'warn' : 'debug'](
      { ...this.#place, ...missing, error: error.message },
      'not in step with the server; going on',
    );
    if (this.#refusedAtMs !== undefined) target.refused();
  }

  /** What is copied, for the log. */
  get #place(): { readonly kind: string; readonly namespace?: string } {
    const { plural } = this.#options.kind;
    const { namespace } = this.#selection;
    return namespace === undefined ? { kind: plural } : { kind: plural, namespace };
  }
}
