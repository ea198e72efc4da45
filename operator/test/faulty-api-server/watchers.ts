// The open watches of the pretend API server: what each is told, when it ends, and what goes wrong with it.

import type { ServerResponse } from 'node:http';
import type { Cancel, Clock } from '@etl-router/core';
import type { Fault } from './faults.ts';
import type { JsonObject, Stored } from './json.ts';
import type { Change } from './object-store.ts';

/** An open watch. */
export interface Watcher {
  readonly response: ServerResponse;
  readonly collection: string;
  readonly fault: Fault | undefined;
  /** Whether the watch is told of objects like this one. */
  readonly selects: (object: Stored) => boolean;
  /** What of an object is sent. */
  readonly view: (object: Stored) => JsonObject;
  told: number;
  dead: boolean;
  cancel: Cancel;
}

export class Watchers {
  readonly #open = new Set<Watcher>();
  readonly #clock: Clock;
  #held: Change[] | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Watches of one collection; of any by default. */
  countOf(plural: string): number {
    return [...this.#open].filter(({ collection }) => collection.endsWith(`/${plural}`)).length;
  }

  open(watcher: Watcher, timeoutSeconds: number, past: readonly Change[]): void {
    this.#open.add(watcher);
    watcher.response.on('close', () => this.#forget(watcher));
    watcher.cancel = this.#clock.after(timeoutSeconds * 1000, () => {
      if (!watcher.dead) watcher.response.end();
    });
    watcher.response.writeHead(200, { 'content-type': 'application/json' });
    watcher.response.flushHeaders();
    if (watcher.fault?.do === 'half-open') watcher.dead = true;
    if (this.#trip(watcher, undefined)) return;
    const held = new Set(this.#held);
    for (const change of past) if (!held.has(change)) this.#tell(watcher, change);
  }

  /** Keeps changes back from every watch until {@link release}: caches grow stale. */
  hold(): void {
    this.#held ??= [];
  }

  /** Tells what was kept back, in order, or with the neighbours of different objects swapped. */
  release(options: { readonly reorder?: boolean } = {}): void {
    const changes = this.#held ?? [];
    this.#held = undefined;
    if (options.reorder === true) swapNeighbours(changes);
    for (const change of changes) this.publish(change);
  }

  publish(change: Change): void {
    if (this.#held !== undefined) this.#held.push(change);
    else for (const watcher of [...this.#open]) this.#tell(watcher, change);
  }

  /** Sends every watch a bookmark. */
  bookmark(version: number): void {
    for (const watcher of this.#open) {
      if (!watcher.dead) {
        const metadata = { resourceVersion: String(version), creationTimestamp: null };
        this.#write(watcher, {
          type: 'BOOKMARK',
          object: { apiVersion: 'v1', kind: 'Bookmark', metadata },
        });
      }
    }
  }

  /** Resets the connection of every watch, as a server that is killed does. */
  reset(): void {
    for (const watcher of [...this.#open]) watcher.response.socket?.resetAndDestroy();
  }

  /** Ends every watch in good order. */
  end(): void {
    for (const watcher of [...this.#open]) watcher.response.end();
  }

  /** From now on the open watches say nothing and do not end. */
  freeze(): void {
    for (const watcher of this.#open) watcher.dead = true;
  }

  #tell(watcher: Watcher, change: Change): void {
    if (watcher.collection !== change.collection || watcher.dead) return;
    const had = change.before !== undefined && watcher.selects(change.before);
    const has = !change.gone && watcher.selects(change.after);
    if (!had && !has) return;
    const type = !has ? 'DELETED' : had ? 'MODIFIED' : 'ADDED';
    const event = { type, object: watcher.view(change.after) };
    if (this.#trip(watcher, event)) return;
    this.#write(watcher, event);
    watcher.told += 1;
    this.#trip(watcher, undefined);
  }

  /** Does what the fault of a watch asks for once enough was told; true when that ended it. */
  #trip(watcher: Watcher, event: JsonObject | undefined): boolean {
    const { fault, told, response } = watcher;
    if (fault === undefined || !('afterEvents' in fault) || told < fault.afterEvents) return false;
    if (fault.do === 'stream-error') {
      watcher.dead = true;
      const status = {
        kind: 'Status',
        code: fault.status,
        reason: fault.status === 410 ? 'Expired' : 'InternalError',
      };
      response.end(
        `${JSON.stringify({ type: 'ERROR', object: { ...status, message: 'told in the stream' } })}\n`,
      );
      return true;
    }
    if (event === undefined) return false;
    watcher.dead = true;
    response.write(JSON.stringify(event).slice(0, 20), () => response.socket?.resetAndDestroy());
    return true;
  }

  #write(watcher: Watcher, event: JsonObject): void {
    watcher.response.write(`${JSON.stringify(event)}\n`);
  }

  #forget(watcher: Watcher): void {
    watcher.cancel();
    this.#open.delete(watcher);
  }
}

function swapNeighbours(changes: Change[]): void {
  for (let index = 0; index + 1 < changes.length; index += 2) {
    const [first, second] = [changes[index] as Change, changes[index + 1] as Change];
    if (first.after.metadata.uid === second.after.metadata.uid) continue;
    changes[index] = second;
    changes[index + 1] = first;
  }
}
