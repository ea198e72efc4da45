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
const example = readFileSync(join(root, 'examples', 'flights', 'flights.yaml'), 'utf8');
const exampleCount = example.match(/^kind: /gm)?.length;

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

/** Names of all objects of the example, under a title. */
const look = (title: string): string =>
  `echo "# ${title}"
for kind in sources transforms sinks pipelines; do
  etlctl get $kind -n example -o name --cluster shop/main
done`;

interface Beside {
  /** Of one block, and of no other. */
  readonly line: string;
  readonly before?: string;
  readonly after?: string;
}

/** What is done around blocks, to see what they do: a reader needs none of it. */
const besides: readonly Beside[] = [
  {
    line: 'kubectl create namespace shop',
    after: `kubectl label namespace ${namespace} pod-security.kubernetes.io/enforce=restricted 2>&1`,
  },
  {
    line: 'etlctl backup restore nightly',
    before: look('before the loss'),
    after: look('after the restore'),
  },
  {
    // The other way, without a backup, begins with nothing.
    line: 'etlctl apply -f - --cluster shop/main',
    before: `etlctl delete -f examples/flights/flights.yaml --cluster shop/main >&2\n${look('deleted')}`,
    after: look('after they were applied'),
  },
];

function commandsOf({ page, block }: Placed): string {
  const text =
    block.language === 'yaml' ? `kubectl apply -f - <<'END'\n${block.text}\nEND` : block.text;
  const { before = '', after = '' } = besides.find(({ line }) => block.text.includes(line)) ?? {};
  return `${before}\necho "# ${page}:${block.line}"\n${text}\n${after}\n`;
}

/** The lines below a title, up to the next one. */
function saidBelow(title: string, said: string): readonly string[] {
  const lines = said.split('\n');
  const at = lines.indexOf(`# ${title}`);
  assert.notEqual(at, -1, title);
  const end = lines.findIndex((line, each) => each > at && line.startsWith('# '));
  return lines.slice(at + 1, end).filter((line) => line !== '');
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
    for (const { line } of besides)
      assert.equal(placed.filter(({ block }) => block.text.includes(line)).length, 1, line);
    await takeNamespace();
    // As the quickstart has its reader do.
    await runProgram('npm', ['run', 'build', '--prefix', root]);
    const folder = await mkdtemp(join(tmpdir(), 'etl-guides-'));
    try {
      await symlink(join(root, 'examples'), join(folder, 'examples'));
      await writeFile(join(folder, 'main.yaml'), ownCluster);
      const inOrder = [
        ...placed.filter((one) => !isLast(one)),
        ...placed.filter((one) => isLast(one)),
      ];
      const script = inOrder.map(commandsOf).join('\n');
      const path = `PATH=${join(root, 'dist')}:${environment()['PATH']}`;
      const said = await runProgram('env', ['-C', folder, path, 'sh', '-e', '-c', script], {
        timeoutMs: 1_200_000,
        isLoud: true,
      });
      assert.doesNotMatch(said, /existing pods .* violate/, 'the namespace enforces restricted');
      const objects = saidBelow('before the loss', said);
      assert.ok(objects.includes('pipeline/delayed-flights'), objects.join());
      assert.equal(objects.length, exampleCount);
      assert.deepEqual(saidBelow('after the restore', said), objects, 'the backup is back');
      assert.deepEqual(saidBelow('deleted', said), []);
      assert.deepEqual(saidBelow('after they were applied', said), objects, 'they are back');
      run.note('blocks', placed.length);
    } finally {
      await rm(folder, { recursive: true });
      await removeNamespace(namespace);
    }
  },
  { timeoutMs: 1_300_000 },
);
