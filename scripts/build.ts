// Bundles each process into one file with esbuild. `npm run build` makes dist/etlctl; images will bundle the others
// the same way. Native modules stay beside the bundle.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

/** Runs the bundle with the Node of the clone when there is one, else with the one on the PATH. */
const launcher = `#!/bin/sh
file=$(readlink -f "$0" 2>/dev/null || echo "$0")
dir=$(dirname "$file")
node="$dir/../node_modules/.bin/node"
[ -x "$node" ] || node=node
exec "$node" "$dir/etlctl.mjs" "$@"
`;

/** Stops in one line on a Node that is too old, before a newer syntax or function can fail obscurely. */
const versionCheck = `
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 12)) {
  process.stderr.write('error: etlctl needs Node 24.12 or later, this is ' + process.version + '\\n');
  process.exit(1);
}`;

mkdirSync('dist', { recursive: true });
const result = await build({
  entryPoints: ['cli/src/main.ts'],
  outfile: 'dist/etlctl.mjs',
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  conditions: ['etl-source'],
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: true,
  metafile: true,
  legalComments: 'none',
  define: { ETL_VERSION: JSON.stringify(version), ETL_COMMIT: JSON.stringify(commit()) },
  banner: {
    js: `import { createRequire as etlCreateRequire, enableCompileCache } from 'node:module';
const require = etlCreateRequire(import.meta.url);${versionCheck}
enableCompileCache?.();`,
  },
});
writeFileSync('dist/etlctl', launcher);
chmodSync('dist/etlctl', 0o755);
const [output] = Object.values(result.metafile.outputs);
process.stdout.write(`dist/etlctl ${version} (${Math.round((output?.bytes ?? 0) / 1024)} KiB)\n`);

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}
