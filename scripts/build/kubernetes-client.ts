// Keeps out of a bundle what it never runs of the Kubernetes client, whose generated half is some 5 MB. Three imports are
// answered with less than they ask for; whoever comes to need more of the client is told by esbuild that it is not there.

import process from 'node:process';
import type { Plugin } from 'esbuild';

const client = '@kubernetes/client-node';
const virtual = 'kubernetes-client';

/** What stands for a module, by who imports it. */
const substitutes: readonly {
  readonly module: string;
  readonly importer: RegExp;
  readonly contents: string;
}[] = [
  // The package's constructor calls these; operator/src/runtime/shell.ts sets the real configuration after it, and refuses
  // everything else that the package would do with the network. What CommonJS asks for is taken whole: no import here.
  {
    module: client,
    importer: /[\\/]@dot-i[\\/]k8s-operator[\\/]/,
    contents: `
export class KubeConfig { loadFromDefault() {} makeApiClient() {} }
export class CoreV1Api {}`,
  },
  {
    module: 'gaxios',
    importer: /[\\/]@dot-i[\\/]k8s-operator[\\/]/,
    contents: 'export const instance = undefined;',
  },
  // The hand-written half, without what it would export beside.
  {
    module: client,
    importer: /(?:)/,
    contents: `
export { KubeConfig } from '${client}/dist/config.js';
export { Exec } from '${client}/dist/exec.js';`,
  },
  // Of the generated half the little that a configuration is made of, without every kind of Kubernetes.
  {
    module: './gen/index.js',
    importer: /[\\/]client-node[\\/]dist[\\/]config\.js$/,
    contents: `
export { createConfiguration } from '${client}/dist/gen/configuration.js';
export { ServerConfiguration } from '${client}/dist/gen/servers.js';`,
  },
];

export const kubernetesClient: Plugin = {
  name: 'kubernetes-client',
  setup(bundler) {
    bundler.onResolve(
      { filter: /^(@kubernetes\/client-node|gaxios|\.\/gen\/index\.js)$/ },
      ({ path, importer }) => {
        const at = substitutes.findIndex(
          (each) => each.module === path && each.importer.test(importer),
        );
        return at === -1 ? undefined : { path: String(at), namespace: virtual };
      },
    );
    // A half that nobody uses is left out with all that it would import.
    bundler.onResolve(
      { filter: /^@kubernetes\/client-node\/dist\/(config|exec)\.js$/ },
      (found) => {
        if (found.pluginData === virtual) return undefined;
        const { kind, importer, resolveDir } = found;
        const how = { kind, importer, resolveDir, pluginData: virtual };
        return bundler
          .resolve(found.path, how)
          .then((resolved) => ({ ...resolved, sideEffects: false }));
      },
    );
    bundler.onLoad({ filter: /.*/, namespace: virtual }, ({ path }) => ({
      contents: substitutes[Number(path)]?.contents ?? '',
      resolveDir: process.cwd(),
    }));
  },
};
