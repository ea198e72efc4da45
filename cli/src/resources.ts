// The names under which people ask for things, as kubectl takes them: plural, singular, kind and short name.

import { EtlError } from '@etl-router/core';

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
  const resource = Object.hasOwn(names, name.toLowerCase()) ? names[name.toLowerCase()] : undefined;
  if (resource !== undefined) return resource;
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    `there is no resource ${JSON.stringify(name)}; choose one of ${resources.join(', ')}`,
  );
}

/** `kind/name` or `name`, as kubectl takes both. */
export function parseTarget(
  resource: string,
  name: string | undefined,
): { resource: Resource; name: string | undefined } {
  const slash = resource.indexOf('/');
  if (slash < 0 || name !== undefined) return { resource: parseResource(resource), name };
  return { resource: parseResource(resource.slice(0, slash)), name: resource.slice(slash + 1) };
}
