// Writes records 1 to the given count of several lanes through a sink and prints what was acknowledged, until it is
// done or killed. Started by sink-crash.test.ts, once a round: argument 1 is the round as JSON.

import { writeSync } from 'node:fs';
import { createSink } from '@etl-router/connectors';
import { testBatch, testContext, testLane } from '@etl-router/connectors/testing';
import { systemClock } from '@etl-router/core';
import type { ConnectorSpec } from '@etl-router/pipeline';

/** What one round is to do. */
export interface CrashRound {
  readonly spec: ConnectorSpec;
  readonly baseDirectory: string;
  readonly lanes: readonly string[];
  readonly epoch: number;
  readonly count: number;
  readonly batch: number;
}

async function main(round: CrashRound): Promise<void> {
  const sink = createSink(round.spec, 'crash');
  await sink.open(testContext(round.baseDirectory, systemClock));
  await Promise.all(
    round.lanes.map(async (lane) => {
      const { position } = await sink.openLane(testLane(lane), round.epoch);
      let from = position === undefined ? 1 : Number(Buffer.from(position).readBigUInt64BE()) + 1;
      writeSync(1, `${lane} ${from - 1} held\n`);
      while (from <= round.count) {
        const to = Math.min(round.count, from + round.batch - 1);
        const batch = testBatch({ lane, epoch: round.epoch, from, to });
        await sink.write(batch, new AbortController().signal);
        writeSync(1, `${lane} ${to} stored\n`);
        from = to + 1;
      }
    }),
  );
  await sink.complete();
  await sink.close();
}

await main(JSON.parse(process.argv[2] as string) as CrashRound);
