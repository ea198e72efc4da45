// Reads that may be old, and must still have been true once: what is read under a version is what was written under
// it, by a write that had begun, and where the read tells of which revision it is, nothing newer was there by then.

import type { Operation, OperationOf } from './operations.ts';
import type { Problem } from './revisions.ts';

/** What is known of the versions of one object. */
interface Versions {
  /** Specs by version, as answers told them. */
  readonly specs: Map<number, string>;
  /** When the write that made a version was asked, where it is known, and the first one of a spec. */
  readonly begunNs: { readonly version: Map<number, number>; readonly spec: Map<string, number> };
  /** Earliest call of a deletion. */
  deletedNs: number;
}

type StaleRead = OperationOf<'getStale'>;

/** Stale reads of what was never there. */
export function checkStaleReads(history: readonly Operation[]): readonly Problem[] {
  const reads = history.filter((operation) => operation.op === 'getStale');
  if (reads.length === 0) return [];
  const objects = new Map<string, Versions>();
  for (const operation of history) note(objects, operation);
  return reads.flatMap((read) => {
    const message = complaintAbout(read, objects.get(read.in.name));
    return message === undefined ? [] : [{ operation: read, message }];
  });
}

function complaintAbout(read: StaleRead, versions: Versions | undefined): string | undefined {
  const { out, returnNs } = read;
  if (out === null || out.error === 'refused' || returnNs === null) return undefined;
  const revision = out.revision ?? Number.POSITIVE_INFINITY;
  if (out.error === 'notFound') {
    if (out.revision === undefined || versions === undefined) return undefined;
    const known = newestUpTo(versions, out.revision);
    return known === undefined || versions.deletedNs <= returnNs
      ? undefined
      : `finds nothing at revision ${out.revision}, where version ${known} was written`;
  }
  const { version, spec } = out;
  if (version > revision) return `shows version ${version} at revision ${revision}`;
  const written = versions?.specs.get(version);
  if (written !== undefined && written !== spec) {
    return `shows spec ${JSON.stringify(spec)} at version ${version}, which has ${JSON.stringify(written)}`;
  }
  const begunNs =
    versions?.begunNs.version.get(version) ?? versions?.begunNs.spec.get(spec) ?? Infinity;
  if (begunNs > returnNs) {
    return `shows version ${version} with spec ${JSON.stringify(spec)}, which nobody had written`;
  }
  if (out.revision === undefined || versions === undefined) return undefined;
  const newest = newestUpTo(versions, out.revision);
  return newest !== undefined && newest > version
    ? `shows version ${version} at revision ${out.revision}, where version ${newest} was there`
    : undefined;
}

function note(objects: Map<string, Versions>, operation: Operation): void {
  const { op, callNs, out } = operation;
  if (op !== 'create' && op !== 'update' && op !== 'get' && op !== 'delete') return;
  const versions = objects.get(operation.in.name) ?? {
    specs: new Map(),
    begunNs: { version: new Map(), spec: new Map() },
    deletedNs: Number.POSITIVE_INFINITY,
  };
  objects.set(operation.in.name, versions);
  if (out !== null && out.error !== undefined) return;
  if (op === 'delete') {
    versions.deletedNs = Math.min(versions.deletedNs, callNs);
    return;
  }
  const { begunNs, specs } = versions;
  if (op === 'get') {
    if (out !== null) specs.set(out.version, out.spec);
    return;
  }
  const { spec } = operation.in;
  if (out !== null) {
    specs.set(out.version, spec);
    if (op === 'create' || out.changed === true) begunNs.version.set(out.version, callNs);
  }
  begunNs.spec.set(spec, Math.min(callNs, begunNs.spec.get(spec) ?? Infinity));
}

function newestUpTo({ specs }: Versions, revision: number): number | undefined {
  let newest: number | undefined;
  for (const version of specs.keys()) {
    if (version <= revision && version > (newest ?? 0)) newest = version;
  }
  return newest;
}
