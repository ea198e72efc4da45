// docs/reference/chart.md, from the schema of the chart's values.

import type { ChartValue } from '../chart/values.ts';
import { table } from './markdown.ts';

export function renderChart(values: readonly ChartValue[]): string {
  return `# Values of the chart

\`helm install etl-operator charts/etl-operator --namespace etl-system --create-namespace\` takes these, by \`--set\` or in a
file. What is not here, or of another type, is refused. Tested with Helm 3.19 and 4.3.

${table(['value', 'type', 'default', 'meaning'], values.flatMap(rowsOf))}`;
}

function rowsOf({ path, type, fallback, description, children }: ChartValue): string[][] {
  const shown = fallback === undefined ? '–' : `\`${JSON.stringify(fallback)}\``;
  return [[`\`${path}\``, type, shown, description], ...children.flatMap(rowsOf)];
}
