// What a cluster looks like when a scenario failed: objects, events and logs, for whoever has to find out why.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { operatorNamespace } from './installation.ts';
import { kubectl } from './kubectl.ts';

const kinds = 'erc,sts,pod,pvc,pdb,svc,endpointslice';

/** Of those that ended before too: why a container starts again and again is told by the one before. */
function logsOf(namespace: string, label: string, lines: number): string[][] {
  const args = ['logs', '-n', namespace, '-l', label, `--tail=${lines}`, '--prefix'];
  const now = [...args, '--max-log-requests=9', '--ignore-errors'];
  return [now, [...now, '--previous']];
}

/** Writes them to the folder. What can not be had is said in its place. */
export async function keepEvidence(folder: string, namespace: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const [operator = [], operatorBefore = []] = logsOf(
    operatorNamespace,
    'app.kubernetes.io/name=etl-operator',
    3000,
  );
  const [routers = [], routersBefore = []] = logsOf(
    namespace,
    'app.kubernetes.io/component=router',
    1500,
  );
  const looks: { readonly [file: string]: readonly string[] } = {
    'objects.txt': ['get', kinds, '-n', namespace, '-o', 'wide'],
    'objects.yaml': ['get', kinds, '-n', namespace, '-o', 'yaml'],
    'namespace.yaml': ['get', 'namespace', namespace, '-o', 'yaml'],
    'events.txt': ['get', 'events', '-n', namespace, '--sort-by=.lastTimestamp'],
    'nodes.txt': ['get', 'nodes,pv', '-o', 'wide'],
    'operator.yaml': ['get', 'pod,lease', '-n', operatorNamespace, '-o', 'yaml'],
    'operator.log': operator,
    'operator-before.log': operatorBefore,
    'routers.log': routers,
    'routers-before.log': routersBefore,
  };
  for (const [file, args] of Object.entries(looks)) {
    const text = await kubectl(args).catch((error: Error) => error.message);
    await writeFile(join(folder, file), text);
  }
}
