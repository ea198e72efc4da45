import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  CommandResultSchema,
  CommandSchema,
  ProposalSchema,
  StoredCheckpointSchema,
  StoredLaneSchema,
  StoredMetaSchema,
} from '@etl-router/proto';
import fc from 'fast-check';
import { hash64 } from '../../src/state/hash.ts';
import {
  type CommandBody,
  encodeProposalFields,
  encodeResult,
  type ProposalFields,
} from '../../src/state/hot-messages.ts';
import { encodeCheckpoint, encodeLane, encodeMeta } from '../../src/state/hot-rows.ts';

const int64 = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.constant(0n));
const uint64 = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.constant(0n));
const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant(''));

test('hot rows have the bytes of the generated encoder', () => {
  const watermark = fc.option(fc.record({ seconds: int64, nanos: fc.integer() }), {
    nil: undefined,
  });
  const lane = fc.record({
    pipeline: text,
    source: text,
    partition: text,
    epoch: uint64,
    position: fc.uint8Array({ maxLength: 300 }),
    committedAtNs: int64,
    sidecarId: text,
  });
  fc.assert(
    fc.property(lane, watermark, (fields, time) => {
      const row = create(StoredLaneSchema, { ...fields, ...(time && { watermark: time }) });
      assert.deepEqual(Buffer.from(encodeLane(row)), Buffer.from(toBinary(StoredLaneSchema, row)));
    }),
  );
  fc.assert(
    fc.property(int64, uint64, (timeNs, revision) => {
      const row = create(StoredMetaSchema, { timeNs, revision });
      assert.deepEqual(Buffer.from(encodeMeta(row)), Buffer.from(toBinary(StoredMetaSchema, row)));
    }),
  );
});

test('checkpoints have the bytes of the generated encoder', () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  const position = fc.record({ source: text, partition: text, position: bytes });
  const checkpoint = fc.record({
    serviceId: text,
    checkpointId: text,
    data: bytes,
    positions: fc.array(position, { maxLength: 4 }),
    createdAtNs: int64,
  });
  fc.assert(
    fc.property(checkpoint, (fields) => {
      const row = create(StoredCheckpointSchema, fields);
      const generated = toBinary(StoredCheckpointSchema, row);
      assert.deepEqual(Buffer.from(encodeCheckpoint(row)), Buffer.from(generated));
    }),
  );
});

const bytes = fc.uint8Array({ maxLength: 300 });
const stamps = {
  version: fc.nat(),
  proposedAtNs: int64,
  uid: text,
  sessionId: text,
  requestId: text,
};
const position = fc.record(
  { source: text, partition: text, position: bytes },
  { requiredKeys: [] },
);
const lane = fc.record({ pipeline: text, source: text, partition: text }, { requiredKeys: [] });
const watermark = fc.record({ seconds: int64, nanos: fc.integer() }, { requiredKeys: [] });
const commit = fc.record({ lane, epoch: uint64, position: bytes, watermark }, { requiredKeys: [] });
/** Those that are written by hand, with any field left out, and one that is not. */
const command: fc.Arbitrary<CommandBody> = fc.oneof(
  fc
    .record(
      {
        serviceId: text,
        checkpointId: text,
        data: bytes,
        positions: fc.array(position, { maxLength: 4 }),
      },
      { requiredKeys: [] },
    )
    .map((value) => ({ case: 'saveServiceCheckpoint' as const, value })),
  fc
    .record({ items: fc.array(commit, { maxLength: 4 }) }, { requiredKeys: [] })
    .map((value) => ({ case: 'commitPositions' as const, value })),
  text.map((groupId) => ({ case: 'dropGroup' as const, value: { groupId } })),
);

function generatedProposal(fields: ProposalFields): Buffer {
  const body = create(CommandSchema, { body: fields.command });
  const whole = { ...fields, command: toBinary(CommandSchema, body) };
  return Buffer.from(toBinary(ProposalSchema, create(ProposalSchema, whole)));
}

test('proposals have the bytes of the generated encoder', () => {
  fc.assert(
    fc.property(fc.record({ ...stamps, command }), (fields) => {
      assert.deepEqual(Buffer.from(encodeProposalFields(fields)), generatedProposal(fields));
    }),
    { numRuns: 300 },
  );
});

test('what the generated encoder refuses is refused, and spoils no later message', () => {
  const fields = { version: 1, proposedAtNs: 1n, uid: 'u' };
  const item = { lane: { source: 's' }, position: Uint8Array.of(1) };
  const tooLarge: readonly CommandBody[] = [
    { case: 'commitPositions', value: { items: [{ ...item, epoch: 2n ** 64n }] } },
    { case: 'commitPositions', value: { items: [{ ...item, epoch: -1n }] } },
    { case: 'commitPositions', value: { items: [{ ...item, watermark: { seconds: 2n ** 63n } }] } },
    { case: 'commitPositions', value: { items: [{ ...item, watermark: { nanos: 2 ** 31 } }] } },
  ];
  for (const refused of tooLarge) {
    assert.throws(() => generatedProposal({ ...fields, command: refused }));
    assert.throws(() => encodeProposalFields({ ...fields, command: refused }));
    const next = { ...fields, command: { case: 'noop', value: {} } } as const;
    assert.deepEqual(Buffer.from(encodeProposalFields(next)), generatedProposal(next));
  }
});

test('answers have the bytes of the generated encoder', () => {
  const refused = fc.array(fc.record({ index: fc.nat(), code: text }), { maxLength: 2 });
  const outcome = fc.oneof(
    fc.constant(undefined),
    refused.map((some) => ({ case: 'commit' as const, value: { refused: some } })),
    text.map((code) => ({ case: 'refusal' as const, value: { code } })),
  );
  fc.assert(
    fc.property(uint64, outcome, (revision, said) => {
      const answer = create(CommandResultSchema, { revision, ...(said && { outcome: said }) });
      const generated = toBinary(CommandResultSchema, answer);
      assert.deepEqual(Buffer.from(encodeResult(answer)), Buffer.from(generated));
    }),
  );
});

test('the hash is FNV-1a of 64 bits', () => {
  const naive = (bytes: Uint8Array): bigint => {
    let hash = 0xcbf29ce484222325n;
    for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    return hash;
  };
  fc.assert(fc.property(fc.uint8Array(), (bytes) => assert.equal(hash64(bytes), naive(bytes))));
  assert.equal(hash64(Buffer.from('foobar')), 0x85944171f73967e8n);
});
