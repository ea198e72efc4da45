// An informer of ConfigMaps on a bench, and ways to tell whether its copy is what the server has.

import type { TestContext } from 'node:test';
import { Informer, type InformerOptions, type ObjectChange } from '../../src/runtime/informer.ts';
import type { UntypedObject } from '../../src/runtime/kube-object.ts';
import type { FaultyApiServer } from '../faulty-api-server/faulty-api-server.ts';
import type { ObjectKey } from '../faulty-api-server/object-store.ts';
import { type Bench, configMaps, driveUntil, objectOf, startBench } from './harness.ts';

const collection = '/api/v1/configmaps';
export const at = (name: string): ObjectKey => ({ collection, namespace: 'shop', name });

/** Writes past the client: what others do. */
export function put(server: FaultyApiServer, name: string, value = 0): void {
  const object = objectOf(configMaps, name, { data: { value } }) as never;
  if (server.store.find(at(name)) === undefined) server.store.create(at(name), object);
  else server.store.replace(at(name), object);
}

export interface Watched extends Bench {
  readonly informer: Informer<UntypedObject>;
  readonly changes: ObjectChange<UntypedObject>[];
  /** `added a`, `deleted b` … since the last call. */
  readonly told: () => string[];
  /** Until the copy is what the server has. */
  readonly inStep: (stepMs?: number) => Promise<void>;
}

export async function startWatched(
  t: TestContext,
  options: Partial<InformerOptions<UntypedObject>> = {},
): Promise<Watched> {
  const bench = await startBench(t);
  const { client, clock, random, metrics, server } = bench;
  const informer = new Informer<UntypedObject>({
    client,
    kind: configMaps,
    clock,
    random,
    metrics,
    ...options,
  });
  t.after(() => informer.close());
  const changes: ObjectChange<UntypedObject>[] = [];
  informer.listen((change) => changes.push(change));
  let from = 0;
  return {
    ...bench,
    informer,
    changes,
    told: () =>
      changes
        .slice(from, (from = changes.length))
        .map(({ type, object }) => `${type} ${object.metadata.name}`),
    inStep: (stepMs = 100) =>
      driveUntil(clock, () => sameAsServer(informer, server), 'the copy in step', stepMs),
  };
}

function sameAsServer(informer: Informer<UntypedObject>, server: FaultyApiServer): boolean {
  if (!informer.synced) return false;
  const versions = (
    objects: readonly {
      metadata: { name: string; namespace?: unknown; resourceVersion?: string; uid?: string };
    }[],
  ): string =>
    objects
      .map(({ metadata: { name, resourceVersion, uid } }) => `${name} ${uid} ${resourceVersion}`)
      .toSorted()
      .join();
  return versions(informer.list()) === versions(server.store.list(collection) as never);
}

export async function started(watched: Watched): Promise<void> {
  watched.informer.start();
  await watched.inStep();
  await driveUntil(watched.clock, () => watched.server.watchers.count === 1, 'the watch');
  watched.told();
}
