// docs/reference/connectors.md, from the registry of built-in connectors.

import { existsSync } from 'node:fs';
import { type AnyConnector, connectors } from '@etl-router/connectors';
import { table } from './markdown.ts';

export function renderConnectors(): string {
  return `# Connectors

The \`spec\` of an \`EtlSource\`, \`EtlTransform\` or \`EtlSink\` has one key, the connector, with its settings. \`grpc\`
stands for a service of your own ([write a stage](../guides/write-a-stage.md)).

${connectors.map(render).join('\n')}`;
}

function render({ kind, type, settings }: AnyConnector): string {
  const rows = settings.map(({ name, type: of, fallback, help }) => [
    `\`${name}\``,
    of,
    fallback === '' ? '–' : fallback,
    help,
  ]);
  const page = [`${type}-${kind}.md`, `${type}.md`, `${kind}s.md`].find((name) =>
    existsSync(`docs/connectors/${name}`),
  );
  const more = page === undefined ? '' : `\nMore in [${kind} ${type}](../connectors/${page}).\n`;
  return `## ${kind[0]?.toUpperCase()}${kind.slice(1)} \`${type}\`
${more}
${table(['setting', 'type', 'default', 'meaning'], rows)}`;
}
