// EtlSource.

import type { CustomResource } from '../custom-resource.ts';
import { count, duration, fraction, type ObjectSchema, object, text } from '../schema.ts';
import { byteSize } from '../shared.ts';
import { fileSource } from './file.ts';
import { connectorKind } from './shared.ts';

/** RFC 3339; that the day exists is checked when the object is accepted. */
const timePattern =
  '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$';

const generator: ObjectSchema = object('Makes records by itself, the same at every replay.', {
  partitions: count('Partitions, named 0, 1 and so on.', { min: 1, max: 1000, fallback: 1 }),
  count: count('Records of each partition. Left out: there is no end.', { min: 0, max: 2 ** 52 }),
  rate: fraction('Records a second of each partition. Left out: as fast as they are taken.', {
    min: 0.001,
    max: 10_000_000,
  }),
  payloadBytes: byteSize('Size that payloads are filled up to.', {
    min: '0',
    max: '1Mi',
    fallback: 0,
  }),
  keys: count('Different keys, k0, k1 and so on in turn; 0: records have no key.', {
    min: 0,
    max: 1_000_000,
    fallback: 0,
  }),
  seed: count('Goes into the checksums: another seed, other contents.', {
    min: 0,
    max: 2 ** 32,
    fallback: 1,
  }),
  startTime: text('Event time of the first record of each partition, in RFC 3339.', {
    max: 40,
    pattern: timePattern,
    fallback: '2026-01-01T00:00:00Z',
  }),
  interval: duration('Event time between two records of a partition.', {
    min: '0s',
    max: '24h',
    fallback: '1s',
  }),
});

/** EtlSource. */
export const etlSource: CustomResource = connectorKind(
  {
    kind: 'EtlSource',
    plural: 'etlsources',
    shortNames: ['esrc'],
    description: 'Where records come from.',
  },
  { file: fileSource('Reads files.'), generator },
);
