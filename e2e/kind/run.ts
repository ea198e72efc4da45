// The core on kind: a cluster of its own, the images put there by kind, and everything taken away again.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { root, run } from '../harness/kubectl.ts';

const script = join(root, 'e2e', 'kind', 'kind.sh');
const hour = { timeoutMs: 3_600_000, isLoud: true } as const;

await run(script, ['prepare'], hour);
try {
  const kubeconfig = (await run(script, ['up'], hour)).trim().split('\n').at(-1) ?? '';
  const names = process.argv.slice(2);
  const { status } = spawnSync(
    process.execPath,
    [
      '--conditions=etl-source',
      join(root, 'e2e', 'run.ts'),
      ...(names.length > 0 ? names : ['core']),
    ],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, KUBECONFIG: kubeconfig, E2E_LOAD: `${script} load` },
    },
  );
  process.exitCode = status ?? 1;
} finally {
  if (process.env['E2E_KEEP'] === undefined) await run(script, ['down'], hour);
}
