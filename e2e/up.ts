// Brings up everything: a Kubernetes of three nodes where KUBECONFIG names none, the images, the operator, and a router
// cluster of three members; says how long each step took. What is there already is used.

import process from 'node:process';
import { timed } from './harness/eventually.ts';
import { askGraphQL, readDocuments } from './harness/graphql.ts';
import { buildImages, loadImages } from './harness/images.ts';
import { install } from './harness/installation.ts';
import { environment, isLocal, kubectl } from './harness/kubectl.ts';
import { machine } from './harness/machine.ts';
import { RouterCluster } from './harness/router-cluster.ts';
import { makeNamespace } from './harness/scenario.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function step(name: string, act: () => Promise<unknown>): Promise<void> {
  const { tookMs } = await timed(act);
  say(`${(tookMs / 1000).toFixed(1).padStart(7)} s  ${name}`);
}

/** The Kubernetes, the images on its nodes, and the operator. */
export async function prepare(): Promise<void> {
  if (isLocal) {
    await step('packages of this machine', () => machine('deps'));
    await step('binaries of Kubernetes', () => machine('build'));
    await step('base image', () => machine('base-image'));
    await step('three nodes', () => machine('up', '3'));
  }
  await step('images', buildImages);
  await step('images on the nodes', loadImages);
  await step('operator', () => install());
}

async function main(): Promise<void> {
  await prepare();
  const namespace = 'etl-demo';
  await makeNamespace(namespace);
  const cluster = await RouterCluster.apply(namespace, 'main', { replicas: 3 });
  await step('router cluster of three members', () => cluster.ready(180_000));
  await step('GraphQL through the Service', () =>
    askGraphQL(namespace, 'main', readDocuments(), say),
  );
  say(await kubectl(['get', 'erc', '-A']));
  say(`export KUBECONFIG=${environment()['KUBECONFIG']}`);
}

if (import.meta.main) await main();
