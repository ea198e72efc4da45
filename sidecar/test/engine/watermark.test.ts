import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isLate, LaneWatermark, PipelineWatermark } from '../../src/engine/watermark.ts';

test('a watermark never passes an unresolved event time that was there before, and never goes back', () => {
  const spans = fc.array(fc.record({ minMs: fc.nat(1000), extra: fc.nat(100), pops: fc.nat(3) }), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(spans, (script) => {
      const lane = new LaneWatermark(undefined, 0);
      const pending: { minMs: number; maxMs: number }[] = [];
      let seen = Number.NEGATIVE_INFINITY;
      let expected: number | undefined;
      for (const { minMs, extra, pops } of script) {
        const span = { minMs, maxMs: minMs + extra };
        lane.push(span, 0);
        pending.push(span);
        for (let pop = 0; pop < pops && pending.length > 0; pop++) {
          lane.pop();
          seen = Math.max(seen, (pending.shift() as typeof span).maxMs);
          const held = Math.min(seen, ...pending.map((left) => left.minMs));
          expected = Math.max(expected ?? held, held);
        }
        assert.equal(lane.valueMs, expected);
      }
    }),
  );
});

test('ranges without event time do not hold the watermark back', () => {
  const lane = new LaneWatermark(undefined, 0);
  lane.push({ minMs: 10, maxMs: 20 }, 0);
  lane.push(undefined, 0);
  lane.pop();
  assert.equal(lane.valueMs, 20);
  lane.pop();
  assert.equal(lane.valueMs, 20);
});

test('what the source promises counts once nothing is in flight', () => {
  const lane = new LaneWatermark(5, 0);
  lane.push({ minMs: 10, maxMs: 20 }, 0);
  lane.promise(100);
  assert.equal(lane.valueMs, 5);
  lane.pop();
  lane.promise(100);
  assert.equal(lane.valueMs, 100);
});

test('the pipeline’s watermark is the lowest of the lanes that are not idle', () => {
  const pipeline = new PipelineWatermark(1000);
  const [a, b] = [new LaneWatermark(100, 0), new LaneWatermark(50, 0)];
  assert.equal(pipeline.update([a, b], 10), 50);
  a.push({ minMs: 300, maxMs: 300 }, 900);
  a.pop();
  assert.equal(pipeline.update([a, b], 999), 50);
  assert.equal(pipeline.update([a, b], 1500), 300, 'b is idle');
  b.push({ minMs: 60, maxMs: 60 }, 1500);
  b.pop();
  assert.equal(pipeline.update([a, b], 1500), 300, 'it never goes back');
});

test('late is what is behind the watermark by more than is allowed', () => {
  assert.equal(isLate(99, undefined, 0), false);
  assert.equal(isLate(99, 100, 0), true);
  assert.equal(isLate(100, 100, 0), false);
  assert.equal(isLate(90, 100, 10), false);
  assert.equal(isLate(89, 100, 10), true);
});
