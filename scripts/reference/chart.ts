// docs/reference/chart.md, from the schema of the chart's values.

import type { ChartValue } from '../chart/values.ts';
import { table } from './markdown.ts';

export function renderChart(values: readonly ChartValue[]): string {
  return `# Values of the chart

The images that the defaults name are published nowhere: [build them and push them to a registry, or load them into
kind](../guides/quickstart-kubernetes.md), first, and name them by \`image\` and \`router.image\`. Then
\`helm install etl-operator charts/etl-operator --namespace etl-system --create-namespace\` takes the values below, by \`--set\`
or in a file. What is not here, or of another type, is refused. Tested with Helm 3.19 and 4.3.

${table(['value', 'type', 'default', 'meaning'], values.flatMap(rowsOf))}
## Upgrades and the end

The kinds are templates, so an upgrade of the release upgrades them, and a rollback takes them back. They stay when the
release is uninstalled, with every object and its routers; installing again under the same name and namespace takes them
over. With \`crds.keep=false\` everything goes.

No certificate is rendered, so two renderings are the same, and an upgrade without a change restarts nothing. Routers are
upgraded by it only where their \`spec.version\` is left out and \`router.image.tag\` changes, one member at a time.

Helm 4 applies on the server what it installed itself. Where somebody else changed a field of the chart meanwhile, such as
by \`kubectl scale\`, it names him and stops: say what you want by a value (\`replicaCount\`), or take the field over with
\`--force-conflicts\`.

\`helm test\` starts a pod of the operator's image that asks whether the operator is ready, and whether the API server takes
a good EtlRouterCluster and refuses a bad one; nothing is written.
`;
}

function rowsOf({ path, type, fallback, description, children }: ChartValue): string[][] {
  const shown = fallback === undefined ? '–' : `\`${JSON.stringify(fallback)}\``;
  return [[`\`${path}\``, type, shown, description], ...children.flatMap(rowsOf)];
}
