// The values of what a manifest leaves out, in one place; docs/reference/manifests.md states them.

import type { Overflow, RetryPolicy, Stage, WatermarkPolicy } from './model.ts';

/** What an edge does when nothing is said: wait for the target. */
export const defaultOverflow: Overflow = {
  policy: 'block',
  afterMs: 0,
  spillMaxBytes: 1024 * 1024 * 1024,
};

export const defaultRetry: RetryPolicy = {
  maxAttempts: 8,
  backoff: { initialMs: 200, factor: 2, capMs: 60_000, jitter: 0.2 },
};

export const defaultWatermark: WatermarkPolicy = {
  field: undefined,
  allowedLatenessMs: 0,
  idleThresholdMs: 60_000,
  late: 'keep',
};

export const defaultInFlight: {
  readonly inFlightRecords: number;
  readonly inFlightBytes: number;
} = { inFlightRecords: 10_000, inFlightBytes: 64 * 1024 * 1024 };

/** A stage that leaves the size of its batches to the connector. */
export const defaultBatch: Stage['batch'] = {
  maxRecords: undefined,
  maxBytes: undefined,
  maxWaitMs: undefined,
};
