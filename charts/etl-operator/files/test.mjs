// What `helm test` runs in a pod with the operator's image: the operator is ready, and the API server knows the kinds.
// Nothing is written: the objects are sent for a dry run.

import { readFileSync } from 'node:fs';
import { request } from 'node:https';

const account = '/var/run/secrets/kubernetes.io/serviceaccount';
const { OPERATOR_URL, POD_NAMESPACE, KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT_HTTPS } =
  process.env;

const ready = await fetch(`${OPERATOR_URL}/readyz`, { signal: AbortSignal.timeout(10_000) });
check(ready.ok, `the operator is not ready: ${await ready.text()}`);

const good = await dryRun({ replicas: 3 });
check(good.status === 201, `an EtlRouterCluster of three members is refused: ${good.body}`);
const bad = await dryRun({ replicas: 2 });
check(bad.status === 422, `an EtlRouterCluster of two members is not refused (${bad.status})`);
process.stdout.write('the operator is ready, and the kinds are what they should be\n');

function dryRun(spec) {
  const metadata = { name: 'helm-test', namespace: POD_NAMESPACE };
  const body = JSON.stringify({
    apiVersion: 'etl.router/v1',
    kind: 'EtlRouterCluster',
    metadata,
    spec,
  });
  const options = {
    host: KUBERNETES_SERVICE_HOST,
    port: KUBERNETES_SERVICE_PORT_HTTPS,
    path: `/apis/etl.router/v1/namespaces/${POD_NAMESPACE}/etlrouterclusters?dryRun=All`,
    method: 'POST',
    ca: readFileSync(`${account}/ca.crt`),
    headers: {
      authorization: `Bearer ${readFileSync(`${account}/token`, 'utf8').trim()}`,
      'content-type': 'application/json',
    },
    signal: AbortSignal.timeout(10_000),
  };
  return new Promise((resolve, reject) => {
    const call = request(options, async (response) => {
      const text = (await response.setEncoding('utf8').toArray()).join('');
      resolve({ status: response.statusCode, body: text });
    });
    call.on('error', reject);
    call.end(body);
  });
}

function check(holds, complaint) {
  if (holds) return;
  process.stderr.write(`${complaint}\n`);
  process.exit(1);
}
