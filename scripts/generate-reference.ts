// Writes the reference pages that come from code, so that they can not drift from it. `--check` writes nothing and
// fails when a page is stale.

import { readFileSync, writeFileSync } from 'node:fs';
import { errorCodes } from '@etl-router/core';

interface Page {
  readonly path: string;
  readonly render: () => string;
}

const pages: readonly Page[] = [{ path: 'docs/reference/errors.md', render: renderErrors }];

function renderErrors(): string {
  const rows = Object.entries(errorCodes).map(
    ([code, info]) =>
      `| \`${code}\` | ${info.retryable ? 'yes' : 'no'} | ${info.grpc} | ${info.exitCode} | ${info.help} |`,
  );
  return `# Error codes

Every error that ETL Router reports carries one of these codes: in the trailing metadata \`etl-error-code\` of a gRPC
status, in \`errors[].extensions.code\` of a GraphQL answer, in logs and in status. Codes are never reused. "Retryable" is
the default; an error says itself where it knows better.

| code | retryable | gRPC status | exit code of etlctl | when, and what to do |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

const check = process.argv.includes('--check');
const stale = pages.filter((page) => {
  const wanted = page.render();
  const present = readText(page.path);
  if (present === wanted) return false;
  if (!check) writeFileSync(page.path, wanted);
  return true;
});
for (const page of stale) {
  process.stdout.write(
    check ? `${page.path} is stale: run npm run generate\n` : `${page.path} written\n`,
  );
}
if (check && stale.length > 0) process.exitCode = 1;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
