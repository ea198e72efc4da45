// Generates proto/src/gen from the .proto files with buf and protoc-gen-es, both from node_modules. With --check it
// generates into a temporary directory instead, and fails with the list of files that differ from the committed ones.
// With --baseline it writes proto/baseline.binpb, against which later changes are checked: part of every release.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import process from 'node:process';

const root = resolve(import.meta.dirname, '..');
const generated = 'src/gen';

/** Runs buf in proto/; generator plugins are found in node_modules/.bin. */
function buf(args: readonly string[]): void {
  const bin = join(root, 'node_modules/.bin');
  execFileSync(process.execPath, [join(root, 'node_modules/@bufbuild/buf/bin/buf'), ...args], {
    cwd: join(root, 'proto'),
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` },
    stdio: 'inherit',
  });
}

/** Files below `directory` by their path in it. */
function filesOf(directory: string): Map<string, string> {
  const entries = existsSync(directory)
    ? readdirSync(directory, { recursive: true, withFileTypes: true })
    : [];
  return new Map(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(directory.length + 1), readFileSync(path, 'utf8')] as const),
  );
}

/** One line for each file that is missing, left over or different, with the first line that differs. */
function differences(fresh: Map<string, string>, committed: Map<string, string>): string[] {
  const names = [...new Set([...fresh.keys(), ...committed.keys()])].toSorted();
  return names.flatMap((name) => {
    const [wanted, found] = [fresh.get(name), committed.get(name)];
    if (wanted === found) return [];
    if (found === undefined) return [`${name}: missing`];
    if (wanted === undefined) return [`${name}: made from no .proto file`];
    const lines = wanted.split('\n');
    const foundLines = found.split('\n');
    const line = lines.findIndex((text, index) => text !== foundLines[index]);
    const at = line < 0 ? lines.length : line;
    return [`${name}:${at + 1}: is "${foundLines[at] ?? ''}", should be "${lines[at] ?? ''}"`];
  });
}

function check(): void {
  const temporary = mkdtempSync(join(tmpdir(), 'etl-proto-'));
  try {
    buf(['generate', '--output', temporary]);
    const stale = differences(
      filesOf(join(temporary, generated)),
      filesOf(join(root, 'proto', generated)),
    );
    if (stale.length === 0) return;
    const shown = stale.map((line) => (line.length > 200 ? `${line.slice(0, 200)} …` : line));
    console.error(
      `proto/${generated} is stale. Run \`npm run generate\` and commit it.\n  ${shown.join('\n  ')}`,
    );
    process.exitCode = 1;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

const args = process.argv.slice(2);
if (args.length === 0) buf(['generate']);
else if (args.length === 1 && args[0] === '--check') check();
else if (args.length === 1 && args[0] === '--baseline')
  buf(['build', '--exclude-source-info', '--output', 'baseline.binpb']);
else {
  console.error('usage: generate-proto.ts [--check | --baseline]');
  process.exitCode = 2;
}
