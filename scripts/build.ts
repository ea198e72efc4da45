// Bundles each process into a folder of its own with esbuild: `npm run build` makes dist/etlctl, `npm run build router`
// dist/router and so on, which is what an image holds. Native modules and files that are read at run time stay beside the
// bundle. BUILD_DIR names another folder than dist.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import process from 'node:process';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { kubernetesClient } from './build/kubernetes-client.ts';
import { renderLicences } from './build/licences.ts';

/** What a process is made of. */
interface Bundle {
  readonly entries: { readonly [output: string]: string };
  /** Below {@link dist}. */
  readonly folder: string;
  /** Modules that can not be in a bundle; they are copied with what they need. */
  readonly native?: readonly string[];
  /** Files that the code reads beside itself. */
  readonly files?: readonly string[];
  /** What is imported later stays in files of its own, beside the entry. */
  readonly splitting?: boolean;
  /** What runs before the rest. */
  readonly prelude?: string;
}

const dist = process.env['BUILD_DIR'] ?? 'dist';
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

/** Runs the bundle with the Node of the clone when there is one, else with the one on the PATH. */
const launcher = `#!/bin/sh
file=$(readlink -f "$0" 2>/dev/null || echo "$0")
dir=$(dirname "$file")
node="$dir/../node_modules/.bin/node"
[ -x "$node" ] || node=node
exec "$node" "$dir/etlctl.d/etlctl.mjs" "$@"
`;

/** Stops in one line on a Node that is too old, before a newer syntax or function can fail obscurely. */
const versionCheck = `
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 12)) {
  process.stderr.write('error: etlctl needs Node 24.12 or later, this is ' + process.version + '\\n');
  process.exit(1);
}`;

const bundles: { readonly [name: string]: Bundle } = {
  etlctl: {
    entries: { etlctl: 'cli/src/main.ts' },
    folder: 'etlctl.d',
    // A command reads what it needs: the client of Kubernetes takes as long to read as everything else together.
    splitting: true,
    prelude: `import { enableCompileCache } from 'node:module';${versionCheck}\nenableCompileCache?.();`,
  },
  router: {
    entries: { main: 'router/src/main.ts', 'log-thread': 'router/src/raft/thread/log-thread.ts' },
    folder: 'router',
    native: ['classic-level'],
    files: ['router/src/api/graphql/schema.graphql'],
  },
  operator: { entries: { main: 'operator/src/main.ts' }, folder: 'operator' },
};

/** Packages that read their proto files from the folder of their sources. */
const readsItsFolder =
  /node_modules[\\/]((?:@grpc[\\/]reflection|grpc-health-check)[\\/]build[\\/].*)\.js$/;

/** Their folder becomes one beside the bundle, with the same files in it. */
const packageFolders: Plugin = {
  name: 'package-folders',
  setup(bundler) {
    bundler.onLoad({ filter: readsItsFolder }, ({ path }) => {
      const inside = readsItsFolder.exec(path)?.[1] ?? '';
      const folder = inside.slice(0, inside.lastIndexOf('/'));
      const source = readFileSync(path, 'utf8');
      return {
        contents: source.replaceAll(
          '__dirname',
          `(etlBundleFolder + ${JSON.stringify(`/assets/${folder}`)})`,
        ),
        loader: 'js',
      };
    });
  },
};

async function makeBundle(name: string): Promise<void> {
  const bundle = bundles[name];
  if (bundle === undefined) {
    throw new Error(`there is no ${name} to build; there are ${Object.keys(bundles).join(', ')}`);
  }
  const outdir = `${dist}/${bundle.folder}`;
  rmSync(outdir, { recursive: true, force: true });
  mkdirSync(outdir, { recursive: true });
  const { metafile } = await build(optionsOf(bundle));
  for (const file of bundle.files ?? []) cpSync(file, `${outdir}/${file.split('/').at(-1)}`);
  const copied = (bundle.native ?? []).flatMap((module) =>
    copyModule(module, `${outdir}/node_modules`),
  );
  copyAssets(metafile, outdir);
  writeFileSync(
    `${outdir}/LICENCES.txt`,
    renderLicences([...Object.keys(metafile.inputs), ...copied]),
  );
  if (name === 'etlctl') {
    writeFileSync(`${dist}/etlctl`, launcher);
    chmodSync(`${dist}/etlctl`, 0o755);
  }
  const where = name === 'etlctl' ? `${dist}/etlctl` : outdir;
  process.stdout.write(`${where} ${version} (${Math.round(bytesOf(metafile) / 1024)} KiB)\n`);
}

function optionsOf({
  entries,
  folder,
  splitting = false,
  native = [],
  prelude = '',
}: Bundle): BuildOptions & {
  metafile: true;
} {
  return {
    entryPoints: { ...entries },
    outdir: `${dist}/${folder}`,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting,
    platform: 'node',
    format: 'esm',
    target: 'node24',
    conditions: ['etl-source'],
    external: [...native],
    plugins: [packageFolders, kubernetesClient],
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: true,
    metafile: true,
    legalComments: 'none',
    define: { ETL_VERSION: JSON.stringify(version), ETL_COMMIT: JSON.stringify(commit()) },
    banner: {
      js: `import { createRequire as etlCreateRequire } from 'node:module';
const require = etlCreateRequire(import.meta.url);
const etlBundleFolder = import.meta.dirname;${prelude}`,
    },
  };
}

/** A module and what it needs; of native ones those for Linux, which images are for. Answers where they were. */
function copyModule(module: string, to: string): readonly string[] {
  const from = `node_modules/${module}`;
  const { dependencies = {} } = JSON.parse(readFileSync(`${from}/package.json`, 'utf8')) as {
    dependencies?: { readonly [name: string]: string };
  };
  const isNeeded = (path: string): boolean => {
    const platform = /prebuilds\/([^/]+)/.exec(path)?.[1];
    return platform === undefined || /^linux-(x64|arm64)$/.test(platform);
  };
  const isSource = (path: string): boolean => /\/(deps|test|binding\.cc|.*\.md)$/.test(path);
  cpSync(from, `${to}/${module}`, {
    recursive: true,
    filter: (path) => isNeeded(path) && !isSource(path),
  });
  return [from, ...Object.keys(dependencies).flatMap((each) => copyModule(each, to))];
}

/** The proto files of packages that read their folder. */
function copyAssets({ inputs }: Metafile, outdir: string): void {
  const packages = Object.keys(inputs).flatMap((path) => {
    const inside = readsItsFolder.exec(path)?.[1];
    return inside === undefined ? [] : [inside.slice(0, inside.indexOf('/build/'))];
  });
  for (const name of new Set(packages)) {
    for (const folder of [`${name}/proto`, `${name}/build/proto`]) {
      if (!existsSync(`node_modules/${folder}`)) continue;
      cpSync(`node_modules/${folder}`, `${outdir}/assets/${folder}`, { recursive: true });
    }
  }
}

function bytesOf({ outputs }: Metafile): number {
  return Object.values(outputs).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The commit, which who builds from a copy without its history says in ETL_COMMIT. */
function commit(): string {
  const given = process.env['ETL_COMMIT'];
  if (given !== undefined) return given.slice(0, 7);
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

const names = process.argv.slice(2);
for (const name of names.length > 0 ? names : ['etlctl']) await makeBundle(name);
