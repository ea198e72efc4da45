// Ends the local cluster; of any other Kubernetes only the operator and the namespaces that were made here are
// taken away.

import { helm, operatorName, operatorNamespace } from './harness/installation.ts';
import { isLocal, kubectl } from './harness/kubectl.ts';
import { machine } from './harness/machine.ts';
import { ownLabel } from './harness/scenario.ts';

if (isLocal) await machine('down');
else {
  // While the operator is there, which lets go of what it holds.
  await kubectl(['delete', 'namespace', '-l', `${ownLabel}=true`, '--timeout=300s'], {
    timeoutMs: 310_000,
  });
  await helm(['uninstall', operatorName, '-n', operatorNamespace, '--ignore-not-found', '--wait']);
}
