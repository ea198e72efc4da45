// Keeps out of a bundle what it never runs of the Kubernetes client, whose generated half is some 5 MB: each of its
// modules is there for what it exports alone, and `@dot-i/k8s-operator` gets of it the little that its constructor calls.
// operator/src/runtime/shell.ts sets the real configuration and refuses everything else that the package would do with it.

import process from 'node:process';
import type { Plugin } from 'esbuild';

const client = /node_modules[\\/]@kubernetes[\\/]client-node[\\/]/;
const shell = /node_modules[\\/]@dot-i[\\/]k8s-operator[\\/]/;
const virtual = 'kubernetes-client';

const substitutes: { readonly [module: string]: string } = {
  // No import of the real one: what is reached from CommonJS is taken whole.
  '@kubernetes/client-node': `
export class KubeConfig {
  loadFromDefault() {}
  makeApiClient() {}
}
export class CoreV1Api {}`,
  gaxios: 'export const instance = undefined;',
};

export const kubernetesClient: Plugin = {
  name: 'kubernetes-client',
  setup(bundler) {
    bundler.onResolve(
      { filter: /^(@kubernetes\/client-node|gaxios|\.\.?\/.*)$/ },
      async (found) => {
        const { path, importer, pluginData, ...how } = found;
        if (pluginData === virtual) return undefined;
        if (shell.test(importer) && path in substitutes) return { path, namespace: virtual };
        if (!path.startsWith('@') && !client.test(importer)) return undefined;
        const { kind, resolveDir } = how;
        const resolved = await bundler.resolve(path, {
          ...{ importer, resolveDir, pluginData: virtual },
          kind: path.startsWith('@') ? 'import-statement' : kind,
        });
        return { ...resolved, sideEffects: false };
      },
    );
    bundler.onLoad({ filter: /.*/, namespace: virtual }, ({ path }) => ({
      contents: substitutes[path] as string,
      resolveDir: process.cwd(),
    }));
  },
};
