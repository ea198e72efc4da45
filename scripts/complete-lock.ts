// Completes package-lock.json with the optional packages of other platforms. npm leaves them out when the registry it
// asked does not have them, and `npm ci` then refuses the lock file. Run it after `npm install --package-lock-only`.

import { readFileSync, writeFileSync } from 'node:fs';

interface Entry {
  version?: string;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  readonly optionalDependencies?: { readonly [name: string]: string };
}

const systems = [
  'android',
  'darwin',
  'freebsd',
  'linux',
  'netbsd',
  'openbsd',
  'sunos',
  'aix',
  'win32',
  'openharmony',
];
const processors = [
  'arm64',
  'x64',
  'ia32',
  'ppc64',
  's390x',
  'riscv64',
  'loong64',
  'mips64el',
  'arm',
];

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
  packages: { [path: string]: Entry };
};
let added = 0;
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`;
    if (lock.packages[path] !== undefined) continue;
    lock.packages[path] = { version, optional: true, ...platformOf(name) };
    added++;
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)),
);
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added} packages of other platforms added\n`);

/** What the package's name says of its platform, as its manifest would. */
function platformOf(name: string): Pick<Entry, 'os' | 'cpu' | 'libc'> {
  const words = (name.split('/').at(-1) as string).split(/[-_.]/);
  const os =
    words.includes('win32') || words.includes('windows')
      ? 'win32'
      : systems.find((each) => words.includes(each));
  const cpu =
    words.some((word) => /^arm(v\d|$)/.test(word)) && !words.includes('arm64')
      ? 'arm'
      : processors.find((each) => words.includes(each));
  if (os === undefined) return { os: ['none'] };
  return {
    os: [os],
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(words.includes('musl') ? { libc: ['musl'] } : {}),
  };
}
