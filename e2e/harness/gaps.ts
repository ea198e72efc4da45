// How long a client may be without an answer while a cluster changes or suffers: the longest time between two answered
// writes of any one of the writer's clients, with the 0.4 s that each of them pauses.

import assert from 'node:assert/strict';
import process from 'node:process';
import type { Phase } from './writer.ts';

/** planned: leadership is handed over. kill: an election. unreachable: and nobody says that connections are dead. */
export const gapGoalsMs = { planned: 2000, kill: 4000, unreachable: 6000 } as const;

/** A machine that does other work too is given more time: E2E_PATIENCE=2. */
const patience = Number(process.env['E2E_PATIENCE'] ?? '1');

export function assertGap(phase: Phase, kind: keyof typeof gapGoalsMs): void {
  const maxMs = gapGoalsMs[kind] * patience;
  const told = JSON.stringify(phase.errors);
  assert.ok(
    phase.longestGapMs <= maxMs,
    `writes stood still for ${phase.longestGapMs} ms, at most ${maxMs} ms are allowed: ${told}`,
  );
}
