import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plan } from '../../src/cluster/plan.ts';
import { runModel } from './model.ts';
import type { Planner } from './operator.ts';
import { plantedFaults, planWith } from './planted.ts';
import { Violation } from './world.ts';

/** More of them, or others, for those who changed the plan. */
const seeds = Number(process.env['ETL_MODEL_SEEDS'] ?? 100);
const first = Number(process.env['ETL_MODEL_FIRST'] ?? 1);

test(`the plan brings ${seeds} clusters to their specs through every trouble, and breaks none`, () => {
  for (let seed = first; seed < first + seeds; seed++) runModel({ seed, plan });
});

/** The first seed in which the model finds something. */
function firstFound(faulty: Planner, from: number, most: number): number | undefined {
  for (let seed = from; seed < from + most; seed++) {
    try {
      runModel({ seed, plan: faulty });
    } catch (error) {
      if (error instanceof Violation) return seed;
      throw error;
    }
  }
  return undefined;
}

for (const fault of plantedFaults) {
  test(`the model finds that ${fault.what}`, async (context) => {
    const seed = firstFound(await planWith(fault), fault.firstSeed ?? 1, 400);
    assert.notEqual(seed, undefined);
    context.diagnostic(`seed ${seed}`);
  });
}
