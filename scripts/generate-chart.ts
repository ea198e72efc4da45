// Writes what is made for the chart: the templates of the kinds from crds/, values.yaml and a page of the reference from
// values.schema.json. `--check` writes nothing and fails when one of them is stale or left over.

import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { customResources } from '@etl-router/crds';
import { renderCrdTemplate } from './chart/crds.ts';
import { readValues } from './chart/values.ts';
import { renderValuesYaml } from './chart/values-yaml.ts';
import { writeGenerated } from './generated.ts';
import { renderChart } from './reference/chart.ts';

const chart = 'charts/etl-operator';
const templates = `${chart}/templates/crds`;

const values = readValues(readFileSync(`${chart}/values.schema.json`, 'utf8'));
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const wanted = new Map([
  [`${chart}/Chart.yaml`, renderVersions(readFileSync(`${chart}/Chart.yaml`, 'utf8'))],
  [`${chart}/values.yaml`, renderValuesYaml(values)],
  ['docs/reference/chart.md', renderChart(values)],
  ...customResources.map(
    (resource) => [`${templates}/${resource.plural}.yaml`, renderCrdTemplate(resource)] as const,
  ),
]);
const present = readdirSync(templates).map((name) => `${templates}/${name}`);
writeGenerated({ wanted, present, check: process.argv.includes('--check') });

/** The chart and what it installs are released together. */
function renderVersions(text: string): string {
  return text.replace(/^(version|appVersion): .*$/gm, `$1: ${version}`);
}
