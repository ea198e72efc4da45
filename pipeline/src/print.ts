// Objects as text, the way kubectl prints them: the fields in its order, namespaces and empty maps as they are stored,
// and so that applying the text again changes nothing.

import { stringifyJsonText } from '@etl-router/core';
import { DUMP_SCHEMA, dump, intCoreTag, type Schema } from 'js-yaml';
import type { Json, JsonObject, Manifest, ObjectMetadata } from './model.ts';

const dumpInteger = DUMP_SCHEMA.lookupScalarTag(intCoreTag.tagName) ?? intCoreTag;

/** The dumper's own schema quotes whatever any YAML reader could take for something else than a string. */
const schema: Schema = DUMP_SCHEMA.withTags({
  ...dumpInteger,
  identify: (value: unknown) => typeof value === 'bigint' || dumpInteger.identify(value),
  represent: (value: unknown) => String(value),
});

/** The object with its fields in kubectl's order; `extra`, such as a status, comes last. */
export function toPlainManifest(manifest: Manifest, extra: JsonObject = {}): JsonObject {
  const { apiVersion, kind, metadata, spec } = manifest;
  return { apiVersion, kind, metadata: plainMetadata(metadata), spec, ...extra };
}

function plainMetadata({ name, namespace, labels, annotations }: ObjectMetadata): JsonObject {
  return {
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    name,
    namespace,
  };
}

/** One YAML document of any JSON value, without references, ending with a line feed. */
export function toYaml(value: Json): string {
  return dump(value, { schema, noRefs: true, lineWidth: -1 });
}

/** The YAML of one object. */
export function toManifestYaml(manifest: Manifest, extra?: JsonObject): string {
  return toYaml(toPlainManifest(manifest, extra));
}

/** The indented JSON of one object; 64-bit integers stay exact. */
export function toManifestJson(manifest: Manifest, extra?: JsonObject): string {
  return `${indentJson(toPlainManifest(manifest, extra))}\n`;
}

/** Several objects as kubectl's List. */
export function toManifestList(manifests: readonly Manifest[]): JsonObject {
  return { apiVersion: 'v1', kind: 'List', items: manifests.map((item) => toPlainManifest(item)) };
}

/** JSON with two spaces a level, bigint included. */
export function indentJson(value: Json, indent = ''): string {
  const inner = `${indent}  `;
  if (Array.isArray(value) && value.length > 0) {
    const items = value.map((item: Json) => inner + indentJson(item, inner));
    return `[\n${items.join(',\n')}\n${indent}]`;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const entries = Object.entries(value as JsonObject);
    if (entries.length === 0) return '{}';
    const lines = entries.map(
      ([name, item]) => `${inner}${JSON.stringify(name)}: ${indentJson(item, inner)}`,
    );
    return `{\n${lines.join(',\n')}\n${indent}}`;
  }
  return stringifyJsonText(value);
}
