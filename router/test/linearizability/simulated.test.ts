// Histories of the simulator: what the state machine answers is taken down as it was told, and a lie is seen.

import { deepEqual, equal, match } from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { type CommandResult, CommandResultSchema } from '@etl-router/proto';
import { answerOf, type Request } from '../../linearizability/answers.ts';
import type { Operation } from '../../linearizability/operations.ts';
import { History } from '../../sim/history.ts';
import { runSeed } from '../../sim/run.ts';

const name = { name: 'EtlSource/sim/o1' };

function put(version: bigint): CommandResult {
  const value = { resourceVersion: version, changed: true };
  return create(CommandResultSchema, { outcome: { case: 'putObject', value } });
}

test('a read that misses an answered write is a complaint, one at the same time is none', () => {
  const history = new History(() => 5);
  const early = history.read(2, [{ op: 'get', in: name }]);
  const write = history.write(1, { op: 'update', in: { ...name, spec: 's' } });
  write.told(put(4n));
  early.told([{ error: 'notFound' }]);
  equal(history.complaint(), undefined);
  history.read(2, [{ op: 'get', in: name }]).told([{ error: 'notFound' }]);
  match(
    history.complaint() ?? '',
    /^illegal: [\s\S]*no order of its operations explains operation 3/,
  );
});

test('a write that is never told anything is one of unknown outcome', () => {
  const history = new History(() => 0);
  history.write(1, { op: 'update', in: { ...name, spec: 's' } });
  history.read(2, [{ op: 'get', in: name }]).told([{ version: 9, spec: 's' }]);
  deepEqual(
    history.operations.map(({ out }) => out),
    [null, { version: 9, spec: 's' }],
  );
  equal(history.complaint(), undefined);
});

test('refusals that no model has are told as refusals', () => {
  const refused = (code: string): CommandResult =>
    create(CommandResultSchema, { outcome: { case: 'refusal', value: { code, message: '' } } });
  const lane: Request = { op: 'acquireEpoch', in: { lane: 'sim/flow/in/0' } };
  const position = { partition: 'readers/in/0', generation: 1, position: '01' };
  const group: Request = { op: 'commitGroupPosition', in: position };
  deepEqual(answerOf(lane, refused('ETL_FENCED')), { error: 'refused' });
  deepEqual(answerOf(group, refused('ETL_FENCED')), { error: 'fenced' });
});

test('a seed hands out what its clients asked and were told', async () => {
  let history: readonly Operation[] = [];
  const { violation } = await runSeed(3, { onHistory: (taken) => (history = taken) });
  equal(violation, undefined);
  const answered = history.filter(({ out }) => out !== null).length;
  equal(history.length > 20 && answered > history.length / 2, true, `${answered} are answered`);
});
