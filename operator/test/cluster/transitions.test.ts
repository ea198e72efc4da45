import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Condition } from '@etl-router/crds';
import { transitionEvents } from '../../src/cluster/transitions.ts';

function condition(type: string, status: Condition['status'], reason: string): Condition {
  return { type, status, reason, message: `${type}.`, lastTransitionTime: '2026-01-01T00:00:00Z' };
}

function told(before: Condition | undefined, after: Condition): readonly string[] {
  const known = before === undefined ? undefined : [before];
  return transitionEvents(known, [after]).map(({ type, reason }) => `${type} ${reason}`);
}

test('a condition that turns is told once, for better or worse', () => {
  const up = condition('Available', 'True', 'QuorumAvailable');
  const down = condition('Available', 'False', 'QuorumLost');
  assert.deepEqual(told(up, down), ['Warning QuorumLost']);
  assert.deepEqual(told(down, up), ['Normal AvailableAgain']);
  assert.deepEqual(told(down, { ...down, reason: 'NoLeader' }), []);
  const ready = condition('Ready', 'True', 'Ready');
  const degraded = condition('Degraded', 'True', 'ActFails');
  assert.deepEqual(told(condition('Degraded', 'False', 'Founding'), degraded), [
    'Warning ActFails',
  ]);
  assert.deepEqual(told(ready, condition('Ready', 'False', 'Changing')), ['Normal Changing']);
});

test('what every new cluster passes through is no news, and what can not be told is none', () => {
  assert.deepEqual(told(undefined, condition('Ready', 'False', 'Founding')), []);
  assert.deepEqual(told(undefined, condition('Accepted', 'True', 'Accepted')), []);
  assert.deepEqual(told(undefined, condition('Accepted', 'False', 'Invalid')), ['Warning Invalid']);
  const unknown = condition('Available', 'Unknown', 'MembersUnreachable');
  assert.deepEqual(told(condition('Available', 'True', 'QuorumAvailable'), unknown), []);
  assert.deepEqual(told(undefined, condition('Progressing', 'True', 'Founding')), []);
});
