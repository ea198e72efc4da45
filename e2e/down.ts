// Ends the local cluster; of any other Kubernetes only the operator and what the tests made are taken away.

import { helm, operatorName, operatorNamespace } from './harness/installation.ts';
import { isLocal, kubectl } from './harness/kubectl.ts';
import { machine } from './harness/machine.ts';

if (isLocal) await machine('down');
else {
  await kubectl(['delete', 'namespace', 'etl-demo', '--ignore-not-found', '--timeout=150s'], {
    timeoutMs: 170_000,
  });
  await helm(['uninstall', operatorName, '-n', operatorNamespace, '--ignore-not-found', '--wait']);
}
