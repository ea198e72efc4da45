// The guides of Kubernetes as somebody goes through them in one terminal: every block that names this file, in the order
// of the pages, on the cluster under test. What they tell to do in the end is done in the end.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Block, blocksOf, runnerOf } from '../scripts/markdown.ts';
import { environment, isLocal, kubectl, root, run as runProgram } from './harness/kubectl.ts';
import { removeNamespace, scenario } from './harness/scenario.ts';

const pages = ['quickstart-kubernetes.md', 'operating-a-cluster.md', 'troubleshooting.md'];
const namespace = 'shop';
const lastSection = 'Clean up';

/** What the reader has in a repository of his own. */
const ownCluster = `apiVersion: etl.router/v1
kind: EtlRouterCluster
metadata: {name: main, namespace: shop}
spec: {replicas: 3, storage: {size: 1Gi}}
`;

interface Placed {
  readonly page: string;
  readonly block: Block;
}

function commandsOf({ page, block }: Placed): string {
  const text =
    block.language === 'yaml' ? `kubectl apply -f - <<'END'\n${block.text}\nEND` : block.text;
  return `echo "# ${page}:${block.line}"\n${text}\n`;
}

const placed = pages.flatMap((page) =>
  blocksOf(readFileSync(join(root, 'docs', 'guides', page), 'utf8'))
    .filter((block) => runnerOf(block) === 'e2e/guides.test.ts')
    .map((block) => ({ page, block })),
);
const isLast = ({ block }: Placed): boolean => block.section === lastSection;

/** The pages make this namespace by its plain name. Somebody's own is not deleted for a test. */
async function takeNamespace(): Promise<void> {
  if (isLocal) return removeNamespace(namespace);
  const found = await kubectl(['get', 'namespace', namespace, '--ignore-not-found', '-o', 'name']);
  if (found.trim() !== '')
    throw new Error(
      `namespace ${namespace} exists, and the guides make it anew: delete it, or run this with another KUBECONFIG`,
    );
}

scenario(
  'guides',
  'what the guides of Kubernetes say can be done as it stands there',
  async (run) => {
    assert.ok(placed.length >= 12, `${placed.length} blocks`);
    assert.ok(placed.some(isLast));
    await takeNamespace();
    // As the quickstart has its reader do.
    await runProgram('npm', ['run', 'build', '--prefix', root]);
    const folder = await mkdtemp(join(tmpdir(), 'etl-guides-'));
    try {
      await symlink(join(root, 'examples'), join(folder, 'examples'));
      await writeFile(join(folder, 'main.yaml'), ownCluster);
      // What the backup held is back after the majority was lost.
      const check =
        'echo "# after the restore"\netlctl get pipelines -n example --cluster shop/main\n';
      const script = [
        ...placed.filter((one) => !isLast(one)).map(commandsOf),
        check,
        ...placed.filter(isLast).map(commandsOf),
      ].join('\n');
      const path = `PATH=${join(root, 'dist')}:${environment()['PATH']}`;
      const said = await runProgram('env', ['-C', folder, path, 'sh', '-e', '-c', script], {
        timeoutMs: 1_200_000,
        isLoud: true,
      });
      assert.match(said.split('# after the restore')[1] ?? '', /flights/);
      run.note('blocks', placed.length);
    } finally {
      await rm(folder, { recursive: true });
      await removeNamespace(namespace);
    }
  },
  { timeoutMs: 1_300_000 },
);
