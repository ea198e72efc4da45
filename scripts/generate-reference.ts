// Writes the reference pages that come from code, so that they can not drift from it. `--check` writes nothing and
// fails when a page is stale.

import { readFileSync, writeFileSync } from 'node:fs';
import { errorCodes } from '@etl-router/core';
import { renderCommands } from './reference/commands.ts';
import { renderConfiguration } from './reference/configuration.ts';
import { renderConnectors } from './reference/connectors.ts';
import { table } from './reference/markdown.ts';
import { renderMetrics } from './reference/metrics.ts';

interface Page {
  readonly path: string;
  readonly render: () => string | Promise<string>;
}

const pages: readonly Page[] = [
  { path: 'docs/reference/errors.md', render: renderErrors },
  { path: 'docs/reference/configuration.md', render: renderConfiguration },
  { path: 'docs/reference/connectors.md', render: renderConnectors },
  { path: 'docs/reference/etlctl.md', render: renderCommands },
  { path: 'docs/reference/graphql.md', render: renderGraphql },
  { path: 'docs/reference/metrics.md', render: renderMetrics },
];

function renderErrors(): string {
  const rows = Object.entries(errorCodes).map(([code, info]) => [
    `\`${code}\``,
    info.retryable ? 'yes' : 'no',
    info.grpc,
    String(info.exitCode),
    info.help,
  ]);
  return `# Error codes

Every error that ETL Router reports carries one of these codes: in the trailing metadata \`etl-error-code\` of a gRPC
status, in \`errors[].extensions.code\` of a GraphQL answer, in logs and in status. Codes are never reused. "Retryable" is
the default; an error says itself where it knows better.

${table(['code', 'retryable', 'gRPC status', 'exit code of etlctl', 'when, and what to do'], rows)}`;
}

function renderGraphql(): string {
  const schema = readFileSync('router/src/api/graphql/schema.graphql', 'utf8').trimEnd();
  return `# GraphQL

The router answers GraphQL over HTTP at \`/graphql\` of \`node.http_addr\` ([configuration](configuration.md)): queries and
mutations as \`POST\` with JSON, subscriptions as server-sent events. It is what etlctl speaks.

A mutation that was refused is an answer and not an error: \`success\` is false, \`message\` says why and what to do, and
\`code\` is one of the [error codes](errors.md). What fails otherwise is in \`errors[]\`, with the code in
\`extensions.code\`. Fields are added, and none is taken away or given another meaning.

Any member of a cluster may be asked. Queries are linearizable: they see every write that was answered before. With the
header \`x-etl-consistency: stale\` a query is answered of what the member knows, without a leader too; otherwise it ends
within 5 s with \`ETL_UNAVAILABLE\` while there is none. Mutations are handed to the leader. What only the leader itself
can do is the error \`ETL_NOT_LEADER\`, with \`leaderName\`, \`grpcAddress\` and \`httpAddress\` in
\`extensions.details\`, as far as they are known.

The header \`x-etl-request-id\` names a request, by 1 to 128 letters, digits and \`. _ : ~ @ + -\`: its mutations take
effect once and are answered as the first time, however often they are sent and at whichever member, while they are among
the latest 1,000 such requests of the cluster. With it a member tries again by itself while it is not known what became of
a command; without it, an answer that got lost is \`ETL_UNAVAILABLE\` with \`outcome: unknown\` in the details.

\`\`\`graphql
${schema}
\`\`\`
`;
}

const check = process.argv.includes('--check');
for (const page of pages) {
  const wanted = await page.render();
  if (readText(page.path) === wanted) continue;
  if (check) process.exitCode = 1;
  else writeFileSync(page.path, wanted);
  process.stdout.write(
    check ? `${page.path} is stale: run npm run generate\n` : `${page.path} written\n`,
  );
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
