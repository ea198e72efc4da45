import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { isEtlError } from '@etl-router/core';
import { ProposalSchema } from '@etl-router/proto';
import fc from 'fast-check';
import { stateDigest } from '../../src/server/digest.ts';
import { StateMachine } from '../../src/state/machine.ts';
import { commandVersion, decodeResult } from '../../src/state/proposal.ts';
import type { Change } from '../../src/state/table.ts';
import { Bench, commit, eachChange, putPipeline } from './harness.ts';
import { type Draft, drafts, sequences } from './sequences.ts';

interface Run {
  readonly machine: StateMachine;
  readonly entries: readonly Uint8Array[];
  readonly results: readonly string[];
  /** Digest after each entry. */
  readonly digests: readonly string[];
}

function run(sequence: readonly Draft[]): Run {
  const bench = new Bench();
  const entries: Uint8Array[] = [];
  const results: string[] = [];
  const digests: string[] = [];
  for (const draft of sequence) {
    const { body, request } = draft(bench.machine);
    const entry = bench.entry(body, request && { request });
    entries.push(entry);
    results.push(Buffer.from(bench.machine.apply(entry).result).toString('hex'));
    digests.push(stateDigest(bench.machine.rows()));
  }
  return { machine: bench.machine, entries, results, digests };
}

function replay(machine: StateMachine, entries: readonly Uint8Array[]): readonly string[] {
  return entries.map((entry) => Buffer.from(machine.apply(entry).result).toString('hex'));
}

test('the same log gives the same rows and answers, from the start and from any snapshot', () => {
  fc.assert(
    fc.property(sequences, fc.nat(), (sequence, cut) => {
      const live = run(sequence);
      const again = new StateMachine();
      assert.deepEqual(replay(again, live.entries), live.results);
      assert.equal(stateDigest(again.rows()), live.digests.at(-1));

      const at = cut % live.entries.length;
      const half = new StateMachine();
      replay(half, live.entries.slice(0, at));
      const restored = StateMachine.load(Array.from(half.rows()).reverse());
      assert.deepEqual(replay(restored, live.entries.slice(at)), live.results.slice(at));
      assert.equal(stateDigest(restored.rows()), live.digests.at(-1));
    }),
    { numRuns: 150 },
  );
});

test('the changes of the commands add up to the rows', () => {
  fc.assert(
    fc.property(sequences, (sequence) => {
      const bench = new Bench();
      const store = new Map<string, Change>();
      for (const draft of sequence) {
        const { body, request } = draft(bench.machine);
        const { changes } = bench.apply(body, request && { request });
        for (const change of eachChange(changes)) {
          store.set(Buffer.from(change.key).toString('hex'), change);
        }
      }
      const stored = Array.from(store.values())
        .filter((change) => change.value !== undefined)
        .map((change) => [Buffer.from(change.key), Buffer.from(change.value as Uint8Array)])
        .sort(([a], [b]) => Buffer.compare(a as Buffer, b as Buffer));
      const rows = Array.from(bench.machine.rows(), ([key, value]) => [
        Buffer.from(key),
        Buffer.from(value),
      ]);
      assert.deepEqual(rows, stored);
    }),
    { numRuns: 150 },
  );
});

test('a command that is refused outside a session changes nothing', () => {
  fc.assert(
    fc.property(sequences, drafts, (sequence, draft) => {
      const { machine, digests } = run(sequence);
      const { result, changes } = new Bench(machine).apply(draft(machine).body);
      if (decodeResult(result).outcome.case !== 'refusal') return;
      assert.equal(changes.length, 0);
      assert.equal(stateDigest(machine.rows()), digests.at(-1));
    }),
    { numRuns: 150 },
  );
});

test('time and revision never go back, whatever the proposers say', () => {
  fc.assert(
    fc.property(sequences, fc.infiniteStream(fc.bigInt(-10n, 10n)), (sequence, steps) => {
      const bench = new Bench();
      let { timeNs, revision } = bench.machine.tables.clock();
      for (const draft of sequence) {
        const { body, request } = draft(bench.machine);
        const proposedAtNs = bench.nowNs + (steps.next().value as bigint) * 1_000_000_000n;
        const { changes } = bench.apply(body, { proposedAtNs, ...(request && { request }) });
        const clock = bench.machine.tables.clock();
        assert(changes.length === 0 ? clock.timeNs === timeNs : clock.timeNs > timeNs);
        assert(clock.revision >= revision);
        ({ timeNs, revision } = clock);
      }
    }),
    { numRuns: 100 },
  );
});

test('bytes that are no proposal are refused and change nothing', () => {
  const bench = new Bench();
  bench.withAssignment();
  const before = stateDigest(bench.machine.rows());
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      assert(applyOrStop(bench.machine, bytes) !== undefined);
    }),
  );
  assert.equal(stateDigest(bench.machine.rows()), before);
});

test('a proposal with damaged bytes never throws anything but the word to stop', () => {
  fc.assert(
    fc.property(drafts, fc.nat(), fc.integer({ min: 1, max: 255 }), (draft, where, flip) => {
      const bench = new Bench();
      bench.withAssignment();
      const entry = bench.entry(draft(bench.machine).body);
      const index = where % entry.length;
      entry[index] = (entry[index] as number) ^ flip;
      assert(applyOrStop(bench.machine, entry) !== undefined);
      StateMachine.load(bench.machine.rows());
    }),
    { numRuns: 500 },
  );
});

/** The outcome of an entry, or that the member has to stop for a later version. */
function applyOrStop(machine: StateMachine, entry: Uint8Array): string | undefined {
  try {
    return decodeResult(machine.apply(entry).result).outcome.case ?? 'accepted';
  } catch (error) {
    assert(isEtlError(error) && error.code === 'ETL_UNSUPPORTED');
    return 'stop';
  }
}

test('a member that is older than the log stops instead of guessing', () => {
  const entry = toBinary(
    ProposalSchema,
    create(ProposalSchema, { version: commandVersion + 1, uid: 'u' }),
  );
  assert.throws(() => new StateMachine().apply(entry), { code: 'ETL_UNSUPPORTED' });
});

test('a proposal over 1 MiB and a proposal without a command are refused', () => {
  const bench = new Bench();
  const huge = bench.entry(putPipeline('orders', 'x'.repeat(1024 * 1024)));
  assert.equal(applyOrStop(bench.machine, huge), 'refusal');
  const empty = toBinary(ProposalSchema, create(ProposalSchema, { version: 1, uid: 'u' }));
  assert.equal(applyOrStop(bench.machine, empty), 'refusal');
});

test('rows of an unknown table are refused as damage', () => {
  assert.throws(() => StateMachine.load([[Buffer.from('?x'), new Uint8Array()]]), {
    code: 'ETL_STORAGE_CORRUPT',
  });
  assert.throws(() => StateMachine.load([[Buffer.from('ax'), Buffer.from([0xff])]]), {
    code: 'ETL_STORAGE_CORRUPT',
  });
});

test('version 1 of the commands means today what it meant when it was published', () => {
  const bench = new Bench();
  const planVersion = bench.withAssignment();
  const epoch = bench.open(planVersion, ['0', '1']);
  bench.accept(commit('0', epoch, [0, 1]));
  bench.refuse({ case: 'revokePipeline', value: { pipeline: 'shop/orders', planVersion: 1n } });
  for (const memberId of ['m1', 'm2', 'm3']) {
    bench.accept({ case: 'joinGroup', value: { groupId: 'g', memberId, stage: 'in' } });
  }
  const groupPartitions = Array.from({ length: 8 }, (_, index) => String(index));
  bench.accept({ case: 'assignPartitions', value: { groupId: 'g', partitions: groupPartitions } });
  bench.accept({ case: 'leaveGroup', value: { groupId: 'g', memberId: 'm2' } });
  bench.accept({ case: 'openSession', value: { client: 'etlctl', ttlMs: 60_000 } }, { uid: 's' });
  const request = { sessionId: 's', requestId: 'r' };
  bench.refuse({ case: 'keepSession', value: { sessionId: 'none' } }, { request });
  assert.equal(
    stateDigest(bench.machine.rows()),
    '93805465bb3d0db3907641849004bbb4d5b62c38540759b360eb075a4ed617f8',
    'a change of meaning needs a new command version, and the old one must stay',
  );
});
