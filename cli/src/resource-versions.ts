// The resourceVersion that a manifest carries, as `get -o yaml` printed it: applying it then says which version was
// read, so that a change made meanwhile by someone else is not overwritten. A manifest has no place for it.

import { describeObject, type Finding, readYaml } from '@etl-router/pipeline';

export interface ReadVersions {
  /** By `Kind namespace/name`, as `describeObject` writes it. */
  readonly versions: ReadonlyMap<string, string>;
  readonly findings: readonly Finding[];
}

type Fields = { readonly [field: string]: unknown };

/** The versions in a text that was read as manifests; its other faults were told by then. */
export function readVersions(text: string, namespace: string): ReadVersions {
  const versions = new Map<string, string>();
  const findings: Finding[] = [];
  if (!text.includes('resourceVersion')) return { versions, findings };
  for (const document of readYaml(text).documents) {
    for (const { value, prefix } of itemsOf(document.value)) {
      const metadata = fieldsOf(value['metadata']);
      const given = metadata['resourceVersion'];
      if (given === undefined || given === null || given === '') continue;
      const version = textOf(given);
      const object = describeObject(
        kindOf(textOf(value['kind'])),
        metadata['namespace'] === undefined ? namespace : textOf(metadata['namespace']),
        textOf(metadata['name']),
      );
      if (/^\d{1,16}$/.test(version)) versions.set(object, version);
      else {
        const path = 'metadata.resourceVersion';
        findings.push({
          severity: 'error',
          code: 'BadValue',
          object,
          path,
          message: 'is no version that a router gave',
          suggestion: 'leave it out to apply over whatever is there',
          line: document.lineOf(prefix + path),
        });
      }
    }
  }
  return { versions, findings };
}

interface Item {
  readonly value: Fields;
  readonly prefix: string;
}

function itemsOf(value: unknown): readonly Item[] {
  const { apiVersion, kind, items } = fieldsOf(value) as {
    apiVersion?: unknown;
    kind?: unknown;
    items?: unknown;
  };
  if (apiVersion !== 'v1' || kind !== 'List') return [{ value: fieldsOf(value), prefix: '' }];
  if (!Array.isArray(items)) return [];
  return items.map((item, index) => ({ value: fieldsOf(item), prefix: `items[${index}].` }));
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

/** Text and numbers as they were written; nothing for what is neither. */
function textOf(value: unknown): string {
  const isText = ['string', 'number', 'bigint'].includes(typeof value);
  return isText ? String(value as string | number | bigint) : '';
}

/** Kinds of the earlier system stand for those of today. */
function kindOf(kind: string): string {
  return kind.startsWith('Etl') ? kind : `Etl${kind}`;
}
