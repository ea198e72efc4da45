// Writes of sinks that are not durable: nothing counts as stored before Flush was answered.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EtlError } from '@etl-router/core';
import { batchOf, never, sinkOf } from './fixture.ts';

test('a write of a sink that is not durable is answered after its Flush', async (t) => {
  const calls: string[] = [];
  const sink = await sinkOf(t, {
    getCapabilities: () => ({ durable: false }),
    writeBatch: () => {
      calls.push('write');
      return {};
    },
    flush: async ({ stage }) => {
      await new Promise((resolve) => setImmediate(resolve));
      calls.push(`flush of ${stage?.stage}`);
      return {};
    },
  });
  await sink.write(batchOf(2), never);
  calls.push('answered');
  assert.deepEqual(calls, ['write', 'flush of mine', 'answered']);
});

test('a Flush that fails fails the write', async (t) => {
  const sink = await sinkOf(t, {
    getCapabilities: () => ({ durable: false }),
    flush: () => {
      throw new EtlError('ETL_UNAVAILABLE', 'the disk is away');
    },
  });
  await assert.rejects(sink.write(batchOf(2), never), {
    code: 'ETL_UNAVAILABLE',
    message: 'the disk is away',
    retryable: true,
  });
});

test('a sink is not asked to flush when it is durable, or when nothing was stored', async (t) => {
  for (const durable of [true, false]) {
    const sink = await sinkOf(t, {
      getCapabilities: () => ({ durable }),
      writeBatch: () => ({ failures: durable ? [] : [{ index: 0 }] }),
      flush: () => {
        throw new EtlError('ETL_INTERNAL', 'flush was called');
      },
    });
    const { failures } = await sink.write(batchOf(1), never);
    assert.equal(failures.length, durable ? 0 : 1);
  }
});

test('a service without Flush is asked once', async (t) => {
  let asked = 0;
  const sink = await sinkOf(t, {
    getCapabilities: () => ({ durable: false }),
    flush: () => {
      asked++;
      throw new EtlError('ETL_UNSUPPORTED', 'there is no Flush here');
    },
  });
  await sink.write(batchOf(1), never);
  await sink.write(batchOf(1), never);
  assert.equal(asked, 1);
});
