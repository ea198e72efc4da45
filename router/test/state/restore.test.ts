import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RestoreResult } from '@etl-router/proto';
import { stateDigest } from '../../src/server/digest.ts';
import { type Applied, StateMachine, type StoredRow } from '../../src/state/machine.ts';
import { operatorEpoch } from '../../src/state/operators.ts';
import { type CommandBody, decodeResult } from '../../src/state/proposal.ts';
import { nextRestoreDigest, restoreDigestStart } from '../../src/state/restore.ts';
import { encodeRowHead } from '../../src/state/row-stream.ts';
import {
  Bench,
  commit,
  eachChange,
  putPipeline,
  refusedCodes,
  registerService,
} from './harness.ts';

const restoredTags = 'aefgh';
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const texts = (rows: Iterable<StoredRow>): readonly string[] =>
  Array.from(rows, ([key, value]) => `${hex(key)}=${hex(value)}`);

/** The rows that a restore takes, as the bytes of its chunks. */
function bytesOf(rows: Iterable<StoredRow>): Uint8Array {
  const taken = Array.from(rows).filter(([key]) =>
    restoredTags.includes(String.fromCharCode(key[0] as number)),
  );
  return Buffer.concat(taken.flatMap(([key, value]) => [encodeRowHead(key, value), key, value]));
}

/** The commands of a restore of those bytes. */
function commandsOf(
  bytes: Uint8Array,
  { id = 'r1', chunkBytes = 100, replacesState = true, sourceRevision = 0n } = {},
): readonly CommandBody[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    chunks.push(bytes.subarray(at, at + chunkBytes));
  }
  return [
    {
      case: 'beginRestore',
      value: {
        restoreId: id,
        sourceClusterId: 'c1',
        sourceRevision,
        bytes: BigInt(bytes.length),
        chunks: chunks.length,
        digest: chunks.reduce(nextRestoreDigest, restoreDigestStart),
        replacesState,
      },
    },
    ...chunks.map(
      (data, index): CommandBody => ({
        case: 'putRestoreChunk',
        value: { restoreId: id, index, data },
      }),
    ),
    { case: 'commitRestore', value: { restoreId: id } },
  ];
}

/** A state with an object of each sort that is restored. */
function filled(): Bench {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  const epoch = bench.open(planVersion, ['0', '1']);
  bench.accept(commit('0', epoch, [5]));
  bench.accept({
    case: 'saveServiceCheckpoint',
    value: { serviceId: 'shop/pod/x', checkpointId: 'c', data: Buffer.from('kept') },
  });
  bench.accept(registerService('shop/pod/x'));
  bench.accept({
    case: 'assignPartitions',
    value: { groupId: 'g', partitions: ['0', '1'] },
  });
  bench.accept({ case: 'joinGroup', value: { groupId: 'g', memberId: 'shop/pod/x' } });
  return bench;
}

function restoreAll(bench: Bench, commands: readonly CommandBody[]): RestoreResult {
  let last: RestoreResult | undefined;
  for (const command of commands) {
    const { outcome } = bench.accept(command);
    assert(outcome.case === 'restore');
    last = outcome.value;
  }
  return last as RestoreResult;
}

test('a restore brings back objects, lanes, checkpoints and groups, and ends every claim on them', () => {
  const bench = filled();
  const backup = bytesOf(bench.machine.rows());
  const before = bench.machine.tables.clock().revision;
  const lane = Array.from(bench.machine.tables.lanes.rows())[0];
  bench.accept(putPipeline('later'));
  bench.accept({
    case: 'deleteObject',
    value: { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' },
  });
  const { committed } = restoreAll(bench, commandsOf(backup));
  assert.equal(committed, true);
  const { tables } = bench.machine;
  const { revision } = tables.clock();
  assert(revision >= before + 2n ** 20n);
  assert.deepEqual(
    Array.from(tables.objects.rows(), ({ name, resourceVersion }) => [name, resourceVersion]),
    [['orders', revision]],
  );
  assert.equal(tables.assignments.size, 0);
  assert.equal(tables.services.size, 1, 'who is registered stays registered');
  const [first] = tables.lanes.rows();
  assert.deepEqual(first?.position, Buffer.from(lane?.position ?? []));
  assert.equal(first?.epoch, revision);
  assert.equal(first?.sidecarId, '');
  assert.equal(tables.checkpoints.size, 1);
  const [group] = tables.groups.rows();
  assert.deepEqual([group?.members, group?.generation], [[], revision]);
  assert.deepEqual(group?.partitions, ['0', '1']);
  assert.equal(tables.restoreChunks.size, 0);
});

test('who held a lane before is refused after', () => {
  const bench = filled();
  const { epoch } = Array.from(bench.machine.tables.lanes.rows())[0] as { epoch: bigint };
  restoreAll(bench, commandsOf(bytesOf(bench.machine.rows())));
  assert.deepEqual(refusedCodes(bench.accept(commit('0', epoch, [6]))), ['ETL_FENCED']);
});

test('the revision goes behind that of the backup too', () => {
  const bench = new Bench();
  restoreAll(bench, commandsOf(bytesOf(filled().machine.rows()), { sourceRevision: 5_000_000n }));
  assert.equal(bench.machine.tables.clock().revision, 5_000_000n + 2n ** 20n);
});

test('a member that took a snapshot at any point of a restore ends where the others do', () => {
  const backup = bytesOf(filled().machine.rows());
  const commands = commandsOf(backup, { chunkBytes: 64 });
  assert(commands.length > 5);
  const live = filled();
  const entries = commands.map((command) => live.entry(command));
  const machines = [live.machine];
  const answers: string[] = [];
  for (const entry of entries) {
    machines.push(StateMachine.load(live.machine.rows()));
    const results = machines.map((machine) => Buffer.from(machine.apply(entry).result));
    for (const result of results) answers.push(result.toString('hex'));
    assert.equal(new Set(results.map((result) => result.toString('hex'))).size, 1);
  }
  const digests = machines.map((machine) => stateDigest(machine.rows()));
  assert.equal(new Set(digests).size, 1);
});

test('the changes of a restore are as of its entry and add up to the rows, however late they are read', () => {
  const bench = filled();
  const store = new Map(Array.from(bench.machine.rows(), (row) => [hex(row[0]), row[1]]));
  const commands = commandsOf(bytesOf(bench.machine.rows()));
  const drop: CommandBody = {
    case: 'deleteObject',
    value: { kind: 'EtlPipeline', namespace: 'shop', name: 'orders' },
  };
  const all = [drop, ...commands].map((command) => bench.apply(command).changes);
  const then = texts(bench.machine.rows());
  assert((all.at(-1)?.length ?? 0) < 20, 'a commit does not tell of each row');
  const later = [bench.apply(putPipeline('later')), bench.apply(drop)];
  const write = (changes: Applied['changes']): void => {
    for (const { key, value } of eachChange(changes)) {
      if (value === undefined) store.delete(hex(key));
      else store.set(hex(key), value);
    }
  };
  for (const changes of all) write(changes);
  const stored = (): readonly string[] =>
    Array.from(store, ([key, value]) => `${key}=${hex(value)}`).sort();
  assert.deepEqual(stored(), then);
  for (const { changes } of later) write(changes);
  assert.deepEqual(stored(), texts(bench.machine.rows()));
});

test('a restore that comes again goes on, and takes effect once', () => {
  const bench = filled();
  const [begin, first, ...rest] = commandsOf(bytesOf(bench.machine.rows()));
  bench.accept(begin as CommandBody);
  bench.accept(first as CommandBody);
  const { outcome } = bench.accept(begin as CommandBody);
  assert(outcome.case === 'restore');
  assert.equal(outcome.value.nextChunk, 1);
  bench.accept(first as CommandBody);
  restoreAll(bench, rest);
  const { revision } = bench.machine.tables.clock();
  assert.equal(restoreAll(bench, [begin as CommandBody]).committed, true);
  assert.equal(restoreAll(bench, rest.slice(-1)).committed, true);
  assert.equal(bench.machine.tables.clock().revision, revision);
});

test('one restore at a time, unless the other one is silent for a minute', () => {
  const bench = filled();
  const backup = bytesOf(bench.machine.rows());
  const [begin, first, ...rest] = commandsOf(backup);
  bench.accept(begin as CommandBody);
  bench.accept(first as CommandBody);
  const other = commandsOf(backup, { id: 'r2' });
  assert.equal(bench.refuse(other[0] as CommandBody), 'ETL_CONFLICT');
  assert.equal(
    bench.refuse(commandsOf(backup, { chunkBytes: 50 })[0] as CommandBody),
    'ETL_CONFLICT',
  );
  bench.nowNs += 61_000_000_000n;
  assert.equal(restoreAll(bench, other).committed, true);
  assert.equal(bench.refuse(rest[0] as CommandBody), 'ETL_NOT_FOUND');
});

test('a restore that is given up leaves nothing', () => {
  const bench = filled();
  const before = bytesOf(bench.machine.rows());
  const [begin, first] = commandsOf(before);
  bench.accept(begin as CommandBody);
  bench.accept(first as CommandBody);
  const { lastSeenAtNs } = Array.from(bench.machine.tables.restores.rows())[0] as {
    lastSeenAtNs: bigint;
  };
  const abort = (seen: bigint): CommandBody => ({
    case: 'abortRestore',
    value: { restoreId: 'r1', lastSeenAtNs: seen },
  });
  assert.equal(bench.refuse(abort(lastSeenAtNs - 1n)), 'ETL_CONFLICT');
  bench.accept(abort(lastSeenAtNs));
  bench.accept(abort(0n));
  assert.equal(bench.machine.tables.restores.size + bench.machine.tables.restoreChunks.size, 0);
  assert.deepEqual(bytesOf(bench.machine.rows()), before);
});

test('a state that holds something is replaced only by who says so', () => {
  const backup = bytesOf(filled().machine.rows());
  const shy = commandsOf(backup, { replacesState: false });
  assert.equal(filled().refuse(shy[0] as CommandBody), 'ETL_CONFLICT');
  assert.equal(restoreAll(new Bench(), shy).committed, true);
  const late = new Bench();
  restoreAll(late, shy.slice(0, -1));
  late.accept(putPipeline('meanwhile'));
  assert.equal(late.refuse(shy.at(-1) as CommandBody), 'ETL_CONFLICT');
});

const twice = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, bytes]);
const row = (key: string, value: Uint8Array): Uint8Array =>
  Buffer.concat([encodeRowHead(Buffer.from(key), value), Buffer.from(key), value]);

for (const [name, bytes] of [
  ['rows that come twice', twice(bytesOf(filled().machine.rows()))],
  ['a row that is cut', bytesOf(filled().machine.rows()).subarray(0, -1)],
  ['a row of a session', row('ishop', Buffer.from([]))],
  ['a row of no table', row('~members', Buffer.from([]))],
  ['a row under another key', row('ashop', Buffer.from([]))],
  ['a row that is no message', row('ashop', Buffer.from([0xff]))],
  ['lengths of no row', Buffer.alloc(64, 0xff)],
] as const) {
  test(`${name} are refused as a whole, and nothing is changed`, () => {
    const bench = filled();
    const commands = commandsOf(bytes, { chunkBytes: 100_000 });
    restoreAll(bench, commands.slice(0, -1));
    const before = stateDigest(bench.machine.rows());
    assert.equal(bench.refuse(commands.at(-1) as CommandBody), 'ETL_INVALID_ARGUMENT');
    assert.equal(stateDigest(bench.machine.rows()), before);
  });
}

test('chunks are refused that are too many, too large, out of order or not those that were announced', () => {
  const bench = filled();
  const backup = bytesOf(bench.machine.rows());
  const commands = commandsOf(backup);
  const value = { restoreId: 'r1', index: 0, data: Buffer.alloc(1) };
  assert.equal(bench.refuse({ case: 'putRestoreChunk', value }), 'ETL_NOT_FOUND');
  bench.accept(commands[0] as CommandBody);
  const put = (over: Partial<typeof value>): string =>
    bench.refuse({ case: 'putRestoreChunk', value: { ...value, ...over } });
  assert.equal(put({ index: 1 }), 'ETL_INVALID_ARGUMENT');
  assert.equal(put({ data: Buffer.alloc(0) }), 'ETL_INVALID_ARGUMENT');
  assert.equal(put({ data: Buffer.alloc(backup.length + 1) }), 'ETL_INVALID_ARGUMENT');
  assert.equal(put({ data: Buffer.alloc(512 * 1024 + 1) }), 'ETL_LIMIT_EXCEEDED');
  assert.equal(bench.refuse(commands.at(-1) as CommandBody), 'ETL_CONFLICT');
  for (const command of commands.slice(1, -1)) {
    assert(command.case === 'putRestoreChunk');
    const data = Buffer.from(command.value.data as Uint8Array);
    if (command.value.index === 1) data[0] = (data[0] ?? 0) ^ 1;
    bench.accept({ case: 'putRestoreChunk', value: { ...command.value, data } });
  }
  assert.equal(bench.refuse(commands.at(-1) as CommandBody), 'ETL_INVALID_ARGUMENT');
});

test('the operator’s epoch is a fact of now: no restore takes it back', () => {
  const bench = filled();
  bench.accept({ case: 'raiseOperatorEpoch', value: { epoch: 2n } });
  const backup = bytesOf(bench.machine.rows());
  bench.accept({ case: 'raiseOperatorEpoch', value: { epoch: 7n } });
  restoreAll(bench, commandsOf(backup));
  assert.equal(operatorEpoch(bench.machine.tables), 7n);
});

test('digests change no row and are told to those who compare them', () => {
  const bench = filled();
  const before = stateDigest(bench.machine.rows());
  const taken = bench.apply({ case: 'takeDigest', value: {} });
  assert.deepEqual([taken.note, taken.changes], [{ kind: 'take' }, []]);
  const sha256 = new Uint8Array(32);
  const told = bench.apply({ case: 'reportDigest', value: { index: 7n, raftId: 1n, sha256 } });
  assert.deepEqual(told.note, { kind: 'report', index: 7n, raftId: 1n, sha256 });
  assert.equal(decodeResult(told.result).outcome.case, undefined);
  assert.equal(stateDigest(bench.machine.rows()), before);
});
