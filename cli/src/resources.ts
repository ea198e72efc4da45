// The names under which people ask for things, as kubectl takes them: plural, singular, kind and short name.

import { EtlError } from '@etl-router/core';
import { didYouMean } from '@etl-router/pipeline';
import type { GlobalOptions } from './io.ts';

export const resources = ['pipelines', 'sources', 'transforms', 'sinks', 'services'] as const;
export type Resource = (typeof resources)[number];

const names: { readonly [name: string]: Resource } = {
  pipelines: 'pipelines',
  pipeline: 'pipelines',
  etlpipelines: 'pipelines',
  etlpipeline: 'pipelines',
  epl: 'pipelines',
  sources: 'sources',
  source: 'sources',
  etlsources: 'sources',
  etlsource: 'sources',
  esrc: 'sources',
  transforms: 'transforms',
  transform: 'transforms',
  etltransforms: 'transforms',
  etltransform: 'transforms',
  etf: 'transforms',
  sinks: 'sinks',
  sink: 'sinks',
  etlsinks: 'sinks',
  etlsink: 'sinks',
  esnk: 'sinks',
  services: 'services',
  service: 'services',
  svc: 'services',
};

/** The kind of object behind a resource; services are registered, not applied. */
export const kindOf: { readonly [resource in Exclude<Resource, 'services'>]: string } = {
  pipelines: 'EtlPipeline',
  sources: 'EtlSource',
  transforms: 'EtlTransform',
  sinks: 'EtlSink',
};

/** `pipeline` of `pipelines`, for messages such as `pipeline/orders created`. */
export function singular(resource: Resource): string {
  return resource.slice(0, -1);
}

/** Throws ETL_INVALID_ARGUMENT with the names there are. */
export function parseResource(name: string): Resource {
  const resource = resourceOf(name);
  if (resource !== undefined) return resource;
  const meant = didYouMean(name, Object.keys(names));
  const hint = meant === undefined ? 'choose' : `${meant} Choose`;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `there is no resource ${JSON.stringify(name)}; ${hint} one of ${resources.join(', ')}`,
  );
}

function resourceOf(name: string): Resource | undefined {
  const key = name.toLowerCase();
  return Object.hasOwn(names, key) ? names[key] : undefined;
}

/** `kind/name` or `name`, as kubectl takes both. */
export function parseTarget(
  resource: string,
  name: string | undefined,
): { resource: Resource; name: string | undefined } {
  const slash = resource.indexOf('/');
  const target =
    slash < 0 || name !== undefined
      ? { resource: parseResource(resource), name }
      : { resource: parseResource(resource.slice(0, slash)), name: resource.slice(slash + 1) };
  if (target.name !== '') return target;
  throw new EtlError('ETL_INVALID_ARGUMENT', `${resource}: the name is empty`);
}

/** A pipeline as a command line names it: `NAME`, `NAMESPACE/NAME` or `pipeline/NAME`. Its id and its parts. */
export function parsePipeline(
  text: string,
  globals: GlobalOptions,
): { readonly id: string; readonly namespace: string; readonly name: string } {
  const parts = text.split('/');
  const [first, second] = parts as [string, string | undefined];
  const resource = second === undefined ? undefined : resourceOf(first);
  const namespace =
    second === undefined || resource !== undefined ? globals.defaultNamespace : first;
  const name = second ?? first;
  const problem =
    parts.length > 2 || name === '' || namespace === ''
      ? 'is no NAME, NAMESPACE/NAME or pipeline/NAME'
      : resource !== undefined && resource !== 'pipelines'
        ? `names one of the ${resource}; this is for pipelines`
        : globals.namespace !== undefined && globals.namespace !== namespace
          ? `is of namespace ${namespace}, but --namespace says ${globals.namespace}; leave one out`
          : undefined;
  if (problem !== undefined)
    throw new EtlError('ETL_INVALID_ARGUMENT', `${JSON.stringify(text)} ${problem}`);
  return { id: `${namespace}/${name}`, namespace, name };
}
