// Records as CloudEvents 1.0 and back, without loss in either direction (docs/specs/0002-wire.md has the table). What
// CloudEvents has an attribute for goes there; what it can not say goes into extensions of ours, named `etl…`.

import { EtlError } from '../errors.ts';
import { type Lane, type Record, recordId } from './record.ts';
import { formatTimestamp, parseTimestamp } from './rfc3339.ts';

/**
 * A CloudEvent. Values of extensions are in the string form that the specification gives every type. An attribute that
 * is empty counts as absent, and so do data without bytes.
 */
export interface CloudEvent {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string | undefined;
  /** RFC 3339. */
  readonly time: string | undefined;
  readonly datacontenttype: string | undefined;
  readonly dataschema: string | undefined;
  /** By name: lower-case letters and digits. */
  readonly extensions: ReadonlyMap<string, string>;
  readonly data: Uint8Array | undefined;
}

/** A record and where it travels; the lane is undefined when the event never was a record of ours. */
export interface LaneRecord {
  readonly lane: Lane | undefined;
  readonly record: Record;
}

/** Our extensions, and `partitionkey` of the specification's own list. */
const extension = {
  position: 'etlposition',
  derivation: 'etlderivation',
  origin: 'etlorigin',
  ingestTime: 'etlingesttime',
  lane: 'etllane',
  key: 'etlkey',
  textKey: 'partitionkey',
  rest: 'etlrest',
} as const;

/** Names that an extension made of a header may not have. */
const reserved: ReadonlySet<string> = new Set([
  'specversion',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'dataschema',
  'data',
  ...Object.values(extension),
]);

/** Headers that hold attributes which a record has no field for. */
const attributeHeaders = {
  id: 'ce_id',
  source: 'ce_source',
  subject: 'ce_subject',
  time: 'ce_time',
  dataschema: 'ce_dataschema',
} as const;

/** Type of a record that has none, or one that an attribute can not hold. */
const untyped = 'router.etl.record';

const extensionName = /^[a-z0-9]+$/;
/** Characters that attributes may not hold: controls and noncharacters. Surrogates never occur in decoded text. */
const forbidden = /[\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef]|\p{Noncharacter_Code_Point}/u;

/** What no attribute can hold, as the JSON of `etlrest`. */
interface Rest {
  readonly type?: string;
  readonly contentType?: string;
  readonly derivation?: string;
  readonly origin?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
}

/** The event of a record of `lane`. {@link fromCloudEvent} gives both back. */
export function toCloudEvent(lane: Lane, record: Record): CloudEvent {
  const laneUri = uriOfLane(lane);
  const id = eventId(lane, record);
  const own = { id, source: laneUri, time: record.eventTime && formatTimestamp(record.eventTime) };
  const attributes = new Map<string, string>();
  const extensions = new Map<string, string>();
  const headers: (readonly [string, string])[] = [];
  for (const [name, value] of record.headers) {
    const attribute = name.startsWith('ce_') ? name.slice(3) : undefined;
    if (attribute !== undefined && holdsAttribute(attribute, value, own, record)) {
      attributes.set(attribute, value);
    } else if (extensionName.test(name) && !reserved.has(name) && isText(value)) {
      extensions.set(name, value);
    } else {
      headers.push([name, value]);
    }
  }
  if (attributes.has('source')) extensions.set(extension.lane, laneUri);
  addIdentity(extensions, record);
  const rest = restOf(record, headers);
  if (rest !== undefined) extensions.set(extension.rest, rest);
  return {
    specversion: '1.0',
    id: attributes.get('id') ?? id,
    source: attributes.get('source') ?? laneUri,
    type: isText(record.type) ? record.type : untyped,
    subject: attributes.get('subject'),
    time: attributes.get('time') ?? own.time,
    datacontenttype: isText(record.contentType) ? record.contentType : undefined,
    dataschema: attributes.get('dataschema'),
    extensions,
    data: record.payload.length === 0 ? undefined : record.payload,
  };
}

/** Whether header `ce_<attribute>` says something that {@link fromCloudEvent} would put into that header again. */
function holdsAttribute(
  attribute: string,
  value: string,
  own: { readonly id: string; readonly source: string; readonly time: string | undefined },
  record: Record,
): boolean {
  if (!isText(value)) return false;
  if (attribute === 'subject' || attribute === 'dataschema') return true;
  if (attribute === 'id' || attribute === 'source') return value !== own[attribute];
  if (attribute !== 'time' || record.eventTime === undefined || value === own.time) return false;
  const time = parseTimestamp(value);
  return time?.seconds === record.eventTime.seconds && time.nanos === record.eventTime.nanos;
}

function addIdentity(extensions: Map<string, string>, record: Record): void {
  if (record.position.length > 0) extensions.set(extension.position, toHex(record.position));
  if (isText(record.derivation)) extensions.set(extension.derivation, record.derivation);
  if (isText(record.originId)) extensions.set(extension.origin, record.originId);
  if (record.ingestTime !== undefined) {
    extensions.set(extension.ingestTime, formatTimestamp(record.ingestTime));
  }
  if (record.key.length === 0) return;
  const key = toBuffer(record.key);
  const text = key.toString('utf8');
  if (isText(text) && Buffer.from(text).equals(key)) extensions.set(extension.textKey, text);
  else extensions.set(extension.key, key.toString('base64'));
}

function restOf(
  record: Record,
  headers: readonly (readonly [string, string])[],
): string | undefined {
  const rest: Rest = {
    ...(isText(record.type) && record.type !== untyped ? {} : { type: record.type }),
    ...(isRest(record.contentType) ? { contentType: record.contentType } : {}),
    ...(isRest(record.derivation) ? { derivation: record.derivation } : {}),
    ...(isRest(record.originId) ? { origin: record.originId } : {}),
    ...(headers.length === 0 ? {} : { headers }),
  };
  if (Object.keys(rest).length === 0) return undefined;
  return JSON.stringify(rest).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/**
 * The record of an event. Of an event from elsewhere the position is empty, for the source that read it to set, and
 * attributes without a field stay in headers `ce_…`, so that {@link toCloudEvent} gives them back. Throws
 * ETL_INVALID_ARGUMENT, naming the attribute, for an event that is none.
 */
export function fromCloudEvent(event: CloudEvent): LaneRecord {
  for (const name of ['id', 'source', 'type'] as const) {
    if (event[name] === '') throw invalid(name, 'is missing');
  }
  const { extensions } = event;
  const rest = readRest(extensions.get(extension.rest));
  const lane = laneOfUri(extensions.get(extension.lane) ?? event.source);
  const record: Record = {
    position: readBytes(extensions, extension.position, 'hex'),
    derivation: rest.derivation ?? extensions.get(extension.derivation) ?? '',
    originId: rest.origin ?? extensions.get(extension.origin) ?? '',
    type: rest.type ?? event.type,
    key: readKey(extensions),
    headers: new Map(),
    eventTime: readTime('time', event.time),
    ingestTime: readTime(extension.ingestTime, extensions.get(extension.ingestTime)),
    contentType: rest.contentType ?? event.datacontenttype ?? '',
    payload: event.data ?? new Uint8Array(0),
  };
  const headers = new Map(rest.headers);
  const own = {
    id: lane === undefined ? undefined : eventId(lane, record),
    source: lane === undefined ? undefined : uriOfLane(lane),
    time: record.eventTime === undefined ? undefined : formatTimestamp(record.eventTime),
    subject: undefined,
    dataschema: undefined,
  };
  for (const [attribute, header] of Object.entries(attributeHeaders)) {
    const value = event[attribute as keyof typeof attributeHeaders];
    if (value !== undefined && value !== '' && value !== own[attribute as keyof typeof own]) {
      headers.set(header, value);
    }
  }
  for (const [name, value] of extensions) {
    if (!extensionName.test(name)) throw invalid(name, 'is no name of an extension');
    if (!reserved.has(name) && value !== '') headers.set(name, value);
  }
  return { lane, record: { ...record, headers } };
}

function readKey(extensions: ReadonlyMap<string, string>): Uint8Array {
  const text = extensions.get(extension.textKey);
  return text === undefined ? readBytes(extensions, extension.key, 'base64') : Buffer.from(text);
}

function readBytes(
  extensions: ReadonlyMap<string, string>,
  name: string,
  encoding: 'hex' | 'base64',
): Uint8Array {
  const text = extensions.get(name) ?? '';
  const bytes = Buffer.from(text, encoding);
  if (bytes.toString(encoding) !== text) throw invalid(name, `is not ${encoding}`);
  return bytes;
}

function readTime(name: string, text: string | undefined): Record['eventTime'] {
  if (text === undefined || text === '') return undefined;
  const time = parseTimestamp(text);
  if (time === undefined) throw invalid(name, 'is no RFC 3339 time of years 1 to 9999');
  return time;
}

function readRest(text: string | undefined): Rest {
  if (text === undefined) return {};
  let rest: unknown;
  try {
    rest = JSON.parse(text);
  } catch {
    rest = undefined;
  }
  if (typeof rest !== 'object' || rest === null) throw invalid(extension.rest, 'is no JSON object');
  const { headers, ...texts } = rest as { readonly [name: string]: unknown };
  const pairs = headers ?? [];
  const isPair = (pair: unknown): boolean =>
    Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string');
  if (!Array.isArray(pairs) || !pairs.every(isPair)) {
    throw invalid(extension.rest, 'has headers that are no pairs of strings');
  }
  if (!Object.values(texts).every((value) => typeof value === 'string')) {
    throw invalid(extension.rest, 'has a member that is no string');
  }
  return rest as Rest;
}

/** The record's id, with what an attribute may not hold percent-encoded. */
function eventId(lane: Lane, record: Record): string {
  const id = recordId(lane, record).toWellFormed();
  return isText(id)
    ? id
    : Array.from(id, (each) => (isText(each) ? each : encodeURIComponent(each))).join('');
}

/** `/pipelines/<pipeline>/sources/<source>/partitions/<partition>`, each part percent-encoded. */
function uriOfLane(lane: Lane): string {
  const [pipeline, source, partition] = [lane.pipeline, lane.source, lane.partition].map((part) =>
    encodeURIComponent(part.toWellFormed()),
  );
  return `/pipelines/${pipeline}/sources/${source}/partitions/${partition}`;
}

function laneOfUri(uri: string): Lane | undefined {
  const match = /^\/pipelines\/([^/]*)\/sources\/([^/]*)\/partitions\/([^/]*)$/.exec(uri);
  if (match === null) return undefined;
  try {
    const [pipeline = '', source = '', partition = ''] = match.slice(1).map(decodeURIComponent);
    const lane = { pipeline, source, partition };
    return uriOfLane(lane) === uri ? lane : undefined;
  } catch {
    return undefined;
  }
}

/** Whether an attribute may hold `text`. */
function isText(text: string): boolean {
  return text !== '' && !forbidden.test(text);
}

/** Whether `text` is something and no attribute may hold it. */
function isRest(text: string): boolean {
  return text !== '' && forbidden.test(text);
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function toHex(bytes: Uint8Array): string {
  return toBuffer(bytes).toString('hex');
}

function invalid(name: string, what: string): EtlError {
  return new EtlError('ETL_INVALID_ARGUMENT', `CloudEvent attribute ${name} ${what}`, {
    details: { field: name },
  });
}
