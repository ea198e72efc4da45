// Prints until its reader is gone, then says on standard error with which code the sink failed. Started by a test.

import { createSink } from '@etl-router/connectors';
import { testBatch, testContext } from '@etl-router/connectors/testing';
import { toEtlError } from '@etl-router/core';

const sink = createSink({ type: 'stdout', config: {} }, 'printer');
await sink.open(testContext('.'));
try {
  for (let n = 1; ; n++) {
    await sink.write(
      testBatch({ lane: 'a', epoch: 1, from: n, to: n + 99 }),
      new AbortController().signal,
    );
  }
} catch (error) {
  process.stderr.write(`${toEtlError(error).code}\n`);
}
await sink.close();
