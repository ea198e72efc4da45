// Settings that several connectors have, and the kind that a set of connectors makes.

import type { CustomResource } from '../custom-resource.ts';
import {
  anything,
  choice,
  list,
  type MapSchema,
  map,
  type ObjectSchema,
  object,
  type TextSchema,
  text,
} from '../schema.ts';
import {
  clusterRef,
  clusterRefStays,
  lastColumns,
  readyColumn,
  remark,
  statusFields,
} from '../shared.ts';

/** A path into a payload, such as address.city. */
export function payloadPath(description: string): TextSchema {
  return text(description, { max: 1024, pattern: '^[^.]+(\\.[^.]+){0,15}$' });
}

/** CEL over a record; what it means is checked when the object is accepted. */
export function expression(description: string): TextSchema {
  return text(description, { max: 16_384, format: 'cel' });
}

export const columnTypes = [
  'string',
  'int',
  'int64',
  'float',
  'float64',
  'bool',
  'timestamp',
  'date',
  'json',
  'bytes',
];

/** `columns` and `newFields` of a sink with a table. */
export function tableFields(): { readonly columns: MapSchema; readonly newFields: TextSchema } {
  return {
    columns: map(
      'Columns, each with its type, or with {type, from}. A Kubernetes API server keeps them in the order of their names. Left out: inferred from the first records.',
      anything(
        'Type of the column, such as BIGINT, or a map with type and from, a path such as data.price.',
        { maxLength: 64, max: 2 },
      ),
      { max: 1000, min: 1 },
    ),
    newFields: choice(
      'What happens to payload fields that no column takes: the record fails, the field is left out, or the table grows.',
      ['error', 'ignore', 'addColumns'],
    ),
  };
}

const pem = (description: string) => text(description, { max: 4096, format: 'path' });

const service: ObjectSchema = object(
  'A service of your own. With neither endpoint nor service it is the service that registered under the name of the object.',
  {
    endpoint: text('Where it answers, as host:port.', {
      max: 300,
      pattern: '^(\\[[0-9a-fA-F:.]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$',
    }),
    service: text('Name that it registered under.', { max: 253 }),
    config: anything('Settings for the service, which gets them when it is opened.', {
      type: 'object',
      max: 1000,
    }),
    proto: text('Name of its protocol in manifests of the earlier system; it has no effect.', {
      max: 253,
    }),
    tls: object('TLS to the service. Left out: none. Empty: by the authorities of the system.', {
      caCert: pem('PEM file with the authority of the service.'),
      clientCert: pem('PEM file with the certificate to show.'),
      clientKey: pem('PEM file with its key.'),
    }),
  },
);

/** An EtlSource, EtlTransform or EtlSink: one connector of several, and what every object may have. */
export function connectorKind(
  names: Pick<CustomResource, 'kind' | 'plural' | 'shortNames' | 'description'>,
  connectors: { readonly [type: string]: ObjectSchema },
): CustomResource {
  const types = { ...connectors, grpc: service };
  return {
    ...names,
    spec: object(
      'One connector with its settings.',
      { description: remark, clusterRef, ...types },
      { oneOf: [Object.keys(types)], rules: [clusterRefStays] },
    ),
    status: object('What became of it.', statusFields),
    rules: [],
    columns: [
      readyColumn,
      {
        name: 'Cluster',
        type: 'string',
        jsonPath: '.spec.clusterRef.name',
        description: 'The cluster that it belongs to.',
      },
      ...lastColumns,
    ],
    selectable: ['.spec.clusterRef.name'],
  };
}

/** A list of paths into a payload. */
export function paths(description: string): ReturnType<typeof list> {
  return list(description, payloadPath('One path.'), { max: 1000 });
}
