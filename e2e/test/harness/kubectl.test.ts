// Commands end when their time is up, with all that they started.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { timed } from '../../harness/eventually.ts';
import { CommandError, run } from '../../harness/kubectl.ts';

const faultOf = async (script: string, timeoutMs: number): Promise<CommandError> => {
  const error = await run('sh', ['-c', script], { timeoutMs }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof CommandError, String(error));
  return error;
};

test('a grandchild that holds the output open ends with the command', async () => {
  const { value, tookMs } = await timed(() => faultOf('sleep 60 & wait', 500));
  assert.match(value.message, /not within 0\.5 s, ended by SIGTERM/);
  assert.ok(tookMs < 30_000, 'the output was open until the grandchild ended');
});

test('what does not listen to the request to end is killed', async () => {
  const { message } = await faultOf('trap "" TERM; while :; do sleep 1; done', 500);
  assert.match(message, /not within 0\.5 s, ended by SIGKILL/);
});

test('a signal of somebody else is told as such, and an exit with its code', async () => {
  const killed = await faultOf('kill -9 $$', 60_000);
  assert.match(killed.message, /: ended by SIGKILL:/);
  const ended = await faultOf('echo broken >&2; exit 3', 60_000);
  assert.match(ended.message, /: exit 3: broken$/);
});
