// Records and CloudEvents turn into each other without loss, whichever of the two came first.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CloudEvent,
  EtlError,
  formatTimestamp,
  fromCloudEvent,
  type Lane,
  parseTimestamp,
  type Record,
  recordId,
  type Timestamp,
  toCloudEvent,
} from '@etl-router/core';
import fc from 'fast-check';

const plainObjects = { noNullPrototype: true } as const;
const forbidden = /[\u0000-\u001f\u007f-\u009f\ufdd0-\ufdef]|\p{Noncharacter_Code_Point}/u;
const anyText = fc.oneof(
  fc.string({ maxLength: 10 }),
  fc.string({ unit: 'binary', maxLength: 10 }).map((text) => text.toWellFormed()),
  fc.constantFrom('', 'router.etl.record', 'application/json', '\u0000', '%2F', 'a/b'),
);
const timestamp: fc.Arbitrary<Timestamp> = fc.record(
  {
    seconds: fc.oneof(
      fc.integer({ min: -62135596800, max: 253402300799 }),
      fc.constantFrom(-62135596800, 0, 253402300799),
    ),
    nanos: fc.oneof(fc.integer({ min: 0, max: 999_999_999 }), fc.constantFrom(0, 250_000_000)),
  },
  plainObjects,
);
const lane: fc.Arbitrary<Lane> = fc.record(
  { pipeline: anyText, source: anyText, partition: anyText },
  plainObjects,
);
const headerName = fc.oneof(
  anyText,
  fc.constantFrom('traceparent', 'ce_id', 'ce_source', 'ce_subject', 'ce_time', 'ce_dataschema'),
  fc.constantFrom('ce_type', 'id', 'data', 'etlposition', 'etlrest', 'partitionkey', '__proto__'),
);
const headerValue = fc.oneof(anyText, timestamp.map(formatTimestamp));
const record: fc.Arbitrary<Record> = fc
  .record(
    {
      position: fc.uint8Array({ maxLength: 9 }),
      derivation: anyText,
      originId: anyText,
      type: anyText,
      key: fc.oneof(
        fc.uint8Array({ maxLength: 9 }),
        anyText.map((text) => Buffer.from(text)),
      ),
      headers: fc.uniqueArray(fc.tuple(headerName, headerValue), {
        selector: ([name]) => name,
        maxLength: 6,
      }),
      eventTime: fc.option(timestamp, { nil: undefined }),
      ingestTime: fc.option(timestamp, { nil: undefined }),
      contentType: anyText,
      payload: fc.uint8Array({ maxLength: 9 }),
    },
    plainObjects,
  )
  .map((each) => ({ ...each, headers: new Map(each.headers) }));

function plain(each: Record): unknown {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return {
    ...each,
    position: hex(each.position),
    key: hex(each.key),
    payload: hex(each.payload),
    headers: [...each.headers].toSorted(([a], [b]) => (a < b ? -1 : 1)),
  };
}

test('a record is the same after it was an event', () => {
  fc.assert(
    fc.property(lane, record, (where, each) => {
      const again = fromCloudEvent(toCloudEvent(where, each));
      assert.deepEqual(again.lane, where);
      assert.deepEqual(plain(again.record), plain(each));
    }),
    { numRuns: 2000 },
  );
});

test('a record becomes an event that the specification allows', () => {
  fc.assert(
    fc.property(lane, record, (where, each) => {
      const { extensions, data, ...attributes } = toCloudEvent(where, each);
      for (const [name, value] of [...Object.entries(attributes), ...extensions]) {
        if (value === undefined) continue;
        assert.match(name, /^[a-z0-9]+$/);
        assert.notEqual(value, '', name);
        assert.doesNotMatch(value, forbidden);
      }
      assert.notEqual(data?.length, 0);
      if (attributes.time !== undefined) assert.ok(parseTimestamp(attributes.time));
    }),
    { numRuns: 1000 },
  );
});

function byName(entries: Iterable<readonly [string, string]>): unknown[] {
  return [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

const attributeText = anyText.filter((text) => text !== '' && !forbidden.test(text));
const optionalText = fc.option(attributeText, { nil: undefined });
const foreignTime = fc
  .tuple(timestamp, fc.constantFrom('Z', 'z', '+00:00', '-00:00'), fc.constantFrom('', '0', '000'))
  .map(([time, zone, zeros]) => {
    const text = formatTimestamp({ ...time, nanos: time.nanos || 5 });
    return text.replace('Z', `${zeros}${zone}`);
  });

test('an event from elsewhere is the same after it was a record', () => {
  const event: fc.Arbitrary<CloudEvent> = fc.record(
    {
      specversion: fc.constant('1.0' as const),
      id: attributeText,
      source: fc.oneof(
        attributeText,
        fc.constantFrom('/a', '/pipelines/a%2Fb/sources/c/partitions/d'),
      ),
      type: attributeText,
      subject: optionalText,
      time: fc.option(foreignTime, { nil: undefined }),
      datacontenttype: optionalText,
      dataschema: optionalText,
      extensions: fc
        .uniqueArray(
          fc.tuple(
            fc.oneof(
              fc.stringMatching(/^[a-z0-9]{1,20}$/),
              fc.constantFrom('partitionkey', 'traceparent'),
            ),
            attributeText,
          ),
          { selector: ([name]) => name, maxLength: 4 },
        )
        .map(
          (entries) =>
            new Map(entries.filter(([name]) => !/^(etl|data|id$|source$|time$|type$)/.test(name))),
        ),
      data: fc.option(fc.uint8Array({ minLength: 1, maxLength: 9 }), { nil: undefined }),
    },
    plainObjects,
  );
  fc.assert(
    fc.property(
      event,
      lane,
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      (each, where, position) => {
        const read = fromCloudEvent(each);
        const own = read.lane ?? where;
        const back = toCloudEvent(
          own,
          read.lane === undefined ? { ...read.record, position } : read.record,
        );
        const { extensions, ...attributes } = back;
        const added = new Set(['etlposition', 'etllane', 'etlrest']);
        const kept = [...extensions].filter(
          ([name]) => !added.has(name) || each.extensions.has(name),
        );
        assert.deepEqual(
          { ...attributes, extensions: byName(kept) },
          { ...each, extensions: byName(each.extensions) },
        );
      },
    ),
    { numRuns: 2000 },
  );
});

test('an ordinary record is an ordinary event', () => {
  const where = { pipeline: 'shop/orders', source: 'db', partition: 'public.orders' };
  const each: Record = {
    position: Buffer.from('0000000000000007', 'hex'),
    derivation: '',
    originId: '',
    type: 'io.example.order.v1',
    key: Buffer.from('customer-17'),
    headers: new Map([
      ['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
      ['ce_subject', 'orders/42'],
      ['X-Tenant', 'acme'],
    ]),
    eventTime: { seconds: 1_769_860_800, nanos: 250_000_000 },
    ingestTime: { seconds: 1_769_860_801, nanos: 0 },
    contentType: 'application/json',
    payload: Buffer.from('{"id":42}'),
  };
  const event = toCloudEvent(where, each);
  assert.deepEqual(
    { ...event, extensions: Object.fromEntries(event.extensions) },
    {
      specversion: '1.0',
      id: recordId(where, each),
      source: '/pipelines/shop%2Forders/sources/db/partitions/public.orders',
      type: 'io.example.order.v1',
      subject: 'orders/42',
      time: '2026-01-31T12:00:00.25Z',
      datacontenttype: 'application/json',
      dataschema: undefined,
      extensions: {
        traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        etlposition: '0000000000000007',
        etlingesttime: '2026-01-31T12:00:01Z',
        partitionkey: 'customer-17',
        etlrest: '{"headers":[["X-Tenant","acme"]]}',
      },
      data: each.payload,
    },
  );
});

test('an event that is none is refused by the name of its attribute', () => {
  const good: CloudEvent = {
    specversion: '1.0',
    id: '1',
    source: '/a',
    type: 't',
    subject: undefined,
    time: undefined,
    datacontenttype: undefined,
    dataschema: undefined,
    extensions: new Map(),
    data: undefined,
  };
  const extended = (name: string, value: string): CloudEvent => ({
    ...good,
    extensions: new Map([[name, value]]),
  });
  const wrong: readonly (readonly [string, CloudEvent])[] = [
    ['id', { ...good, id: '' }],
    ['source', { ...good, source: '' }],
    ['type', { ...good, type: '' }],
    ['time', { ...good, time: 'yesterday' }],
    ['time', { ...good, time: '2026-02-30T00:00:00Z' }],
    ['time', { ...good, time: '0000-12-31T23:59:59Z' }],
    ['Bad-Name', extended('Bad-Name', 'x')],
    ['etlposition', extended('etlposition', 'xyz')],
    ['etlkey', extended('etlkey', '*')],
    ['etlingesttime', extended('etlingesttime', 'now')],
    ['etlrest', extended('etlrest', '{')],
    ['etlrest', extended('etlrest', '{"headers":[["a"]]}')],
    ['etlrest', extended('etlrest', '{"type":5}')],
  ];
  for (const [name, event] of wrong) {
    assert.throws(
      () => fromCloudEvent(event),
      (error) => error instanceof EtlError && error.details['field'] === name,
    );
  }
  assert.deepEqual([...fromCloudEvent(good).record.headers.keys()], ['ce_id', 'ce_source']);
});

test('times are read with any offset and precision, and written in one way', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00Z'],
    ['2026-01-31t14:00:00.500+02:00', '2026-01-31T12:00:00.5Z'],
    ['2026-01-31T12:00:00.1234567891z', '2026-01-31T12:00:00.123456789Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z'],
    ['9999-12-31T23:59:59.999999999Z', '9999-12-31T23:59:59.999999999Z'],
    ['1969-12-31T23:59:59.9Z', '1969-12-31T23:59:59.9Z'],
  ];
  for (const [text, written] of cases) {
    const time = parseTimestamp(text);
    assert.ok(time, text);
    assert.equal(formatTimestamp(time), written);
  }
  for (const text of [
    '',
    '2026-01-31',
    '2026-01-31T24:00:00Z',
    '2026-01-31T12:00:00',
    '2026-01-31T12:00:00+24:00',
  ]) {
    assert.equal(parseTimestamp(text), undefined, text);
  }
});
