// The licences of what a bundle holds of others, in one text beside it: most ask for that wherever their code goes.

import { readdirSync, readFileSync } from 'node:fs';

const inPackage = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//;

/** `inputs` are the files that a bundle was made of, and folders of modules that lie beside it. */
export function renderLicences(inputs: readonly string[]): string {
  const folders = new Set(inputs.flatMap((path) => inPackage.exec(`${path}/`)?.[1] ?? []));
  const texts = [...folders].sort().map(renderLicence);
  return `This holds parts of the packages below, each under its licence.\n${texts.join('')}`;
}

function renderLicence(folder: string): string {
  const manifest = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as {
    readonly name: string;
    readonly version: string;
    readonly license?: string;
  };
  const { name, version, license = 'see below' } = manifest;
  const texts = readdirSync(folder, { withFileTypes: true })
    .filter((file) => file.isFile() && /^(licen[cs]e|copying|notice)/i.test(file.name))
    .map((file) => `\n${readFileSync(`${folder}/${file.name}`, 'utf8').trim()}\n`);
  return `\n${'-'.repeat(80)}\n${name} ${version} (${license})\n${texts.join('')}`;
}
