import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Budget, CreditQueue, LaneCredit } from '../../src/engine/credits.ts';

const minBytes = 16 * 1024;

const steps = fc.array(
  fc.record({
    lane: fc.nat(4),
    kind: fc.constantFrom('grant', 'read', 'release', 'return'),
    amount: fc.integer({ min: 1, max: 100 }),
  }),
  { maxLength: 400 },
);

test('what is reserved is what the lanes hold, and passes the limits by the smallest grants only', () => {
  fc.assert(
    fc.property(steps, (script) => {
      const process = new Budget({ maxRecords: 300, maxBytes: 30 * minBytes });
      const pipelines = [
        new Budget({ maxRecords: 200, maxBytes: 20 * minBytes }, process),
        new Budget({ maxRecords: 200, maxBytes: 20 * minBytes }, process),
      ];
      const lanes = Array.from({ length: 5 }, (_, i) => new LaneCredit(pipelines[i % 2] as Budget));
      const share = { maxRecords: 150, maxBytes: 15 * minBytes };
      for (const { lane, kind, amount } of script) {
        const credit = lanes[lane] as LaneCredit;
        const before = credit.granted;
        if (kind === 'grant') credit.grant({ records: amount, bytes: amount * 1024 }, share);
        else if (kind === 'read') {
          const { records, bytes } = credit.available;
          const read = Math.min(amount, records);
          credit.read(read, Math.min(read * 1024, Math.max(0, bytes)));
        } else if (kind === 'release') {
          const { records, bytes } = credit.inFlight;
          credit.release(Math.min(amount, records), Math.min(amount * 1024, bytes));
        } else credit.returnUnread();
        assert.ok(credit.granted.records >= before.records, 'counters never go back');
        assert.ok(credit.granted.bytes >= before.bytes, 'counters never go back');
        for (const [index, pipeline] of pipelines.entries()) {
          const own = lanes.filter((_, i) => i % 2 === index);
          const held = own.reduce(
            (sum, { available, inFlight }) => sum + available.records + inFlight.records,
            0,
          );
          assert.equal(pipeline.records, held);
          assert.ok(pipeline.records <= 200 + own.length);
          assert.ok(pipeline.bytes <= 20 * minBytes + own.length * minBytes);
        }
        assert.ok(process.records <= 300 + lanes.length);
        assert.equal(
          process.bytes,
          pipelines.reduce((sum, { bytes }) => sum + bytes, 0),
        );
      }
      for (const credit of lanes) credit.close();
      assert.equal(process.records, 0);
      assert.equal(process.bytes, 0);
    }),
  );
});

test('a lane with nothing in flight gets the smallest grant however much others hold', () => {
  const budget = new Budget({ maxRecords: 10, maxBytes: minBytes });
  const share = { maxRecords: 10, maxBytes: minBytes };
  const greedy = new LaneCredit(budget);
  assert.ok(greedy.grant({ records: 10, bytes: minBytes }, share));
  const late = new LaneCredit(budget);
  assert.ok(late.grant({ records: 10, bytes: minBytes }, share));
  assert.deepEqual(late.available, { records: 1, bytes: minBytes });
  assert.equal(late.grant({ records: 10, bytes: minBytes }, share), false);
});

test('a record larger than its grant is owed', () => {
  const budget = new Budget({ maxRecords: 10, maxBytes: 1_000_000 });
  const credit = new LaneCredit(budget);
  credit.grant({ records: 1, bytes: minBytes }, { maxRecords: 10, maxBytes: 1_000_000 });
  credit.read(1, 900_000);
  assert.equal(budget.bytes, 900_000);
  assert.equal(budget.freeBytes, 100_000);
  credit.release(1, 900_000);
  assert.equal(budget.bytes, 0);
});

test('waiting lanes are served in turn, by weight', () => {
  const budget = new Budget({ maxRecords: 1, maxBytes: 1_000_000 });
  const share = { maxRecords: 1, maxBytes: 1_000_000 };
  const want = { records: 1, bytes: minBytes };
  const queue = new CreditQueue();
  const lanes = [new LaneCredit(budget, 1), new LaneCredit(budget, 2), new LaneCredit(budget, 1)];
  const blocker = new LaneCredit(budget);
  blocker.grant(want, share);
  for (const lane of lanes) {
    lane.grant(want, share);
    lane.read(1, minBytes);
  }
  blocker.close();
  const served = [0, 0, 0];
  const wait = (index: number): void => {
    const lane = lanes[index] as LaneCredit;
    queue.add({
      lane,
      want,
      share,
      onGranted: () => {
        served[index] = (served[index] ?? 0) + 1;
      },
    });
  };
  for (const index of lanes.keys()) wait(index);
  for (let round = 0; round < 40; round++) {
    const before = [...served];
    for (const lane of lanes) {
      if (lane.available.records > 0) lane.read(1, minBytes);
      if (lane.inFlight.records > 0) lane.release(1, lane.inFlight.bytes);
    }
    queue.serve();
    for (const index of lanes.keys()) if (served[index] !== before[index]) wait(index);
  }
  assert.ok(Math.min(...served) > 5, `all are served: ${served.join(' ')}`);
  assert.ok(
    (served[1] as number) >= (served[0] as number),
    `the heavier no less: ${served.join(' ')}`,
  );
});
