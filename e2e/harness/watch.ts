// Every version of some objects from now on, as the API server tells it: between two looks a cluster can do a lot.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { eventually } from './eventually.ts';
import { environment, type KubeObject, kubectl } from './kubectl.ts';

interface Told<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

/** One version of an object; what was there at the start comes first. */
export interface Change<T> {
  /** Grows with every write to the API server, of whatever kind. */
  readonly revision: number;
  readonly isGone: boolean;
  readonly object: T;
}

interface List<T> {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly T[];
}

async function read<T>(path: string): Promise<List<T>> {
  return JSON.parse(await kubectl(['get', '--raw', path])) as List<T>;
}

/** Watches a list of the API, such as /apis/apps/v1/namespaces/shop/statefulsets, until it is closed. */
export class Watch<T extends KubeObject> {
  readonly #path: string;
  readonly #changes: Change<T>[] = [];
  readonly #child: ChildProcess;
  /** Why something may be missing. */
  #fault: string | undefined;

  private constructor(path: string, { metadata, items }: List<T>) {
    this.#path = path;
    for (const object of items) this.#note(object);
    const from = `${path}?watch=true&resourceVersion=${metadata.resourceVersion}`;
    const child = spawn('kubectl', ['get', '--raw', from], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#hear(line));
    child.on('error', (error) => {
      this.#fault = error.message;
    });
    child.on('close', () => {
      this.#fault ??= `the watch has ended: ${said}`;
    });
    this.#child = child;
  }

  static async start<T extends KubeObject>(path: string): Promise<Watch<T>> {
    return new Watch(path, await read<T>(path));
  }

  /** Waits until all that is there was told; answers everything since the start, in the order of the writes. */
  async changes(): Promise<readonly Change<T>[]> {
    await eventually(`${this.#path} is watched`, async () => {
      if (this.#fault !== undefined) return true;
      const { items } = await read<T>(this.#path);
      const told = new Set(this.#changes.map(({ object }) => object.metadata.resourceVersion));
      return items.every(({ metadata }) => told.has(metadata.resourceVersion));
    });
    assert.equal(this.#fault, undefined, this.#path);
    return this.#changes.toSorted((a, b) => a.revision - b.revision);
  }

  close(): void {
    this.#child.kill();
  }

  #hear(line: string): void {
    const { type, object } = JSON.parse(line) as Told<T>;
    if (type === 'ERROR') this.#fault = line;
    else if (type !== 'BOOKMARK') this.#note(object, type === 'DELETED');
  }

  #note(object: T, isGone = false): void {
    this.#changes.push({ revision: Number(object.metadata.resourceVersion), isGone, object });
  }
}
