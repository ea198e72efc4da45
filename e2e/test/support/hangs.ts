// Two scenarios, of which the first never ends: read by ../harness/scenario.test.ts.

import process from 'node:process';
import { scenario } from '../../harness/scenario.ts';

scenario(
  'harness-hangs',
  'it never ends',
  () =>
    new Promise(() => {
      // Something goes on, as in a scenario that waits for a cluster.
      setInterval(() => {}, 1000);
    }),
  { timeoutMs: 500 },
);

scenario('harness-next', 'it is not begun beside the first one', () => {
  process.stdout.write('the next one runs\n');
  return Promise.resolve();
});
