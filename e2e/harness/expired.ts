// Certificates that ended yesterday, in the place of those that a cluster has.

import { X509Certificate } from 'node:crypto';
import { systemClock } from '@etl-router/core';
import { makeAuthority, type Pair, signLeaf } from '../../operator/src/certificates/x509.ts';
import { get, type KubeObject, kubectl } from './kubectl.ts';

const dayMs = 86_400_000;

interface Secret extends KubeObject {
  readonly data: { readonly [key: string]: string };
}

/** Lets the authority of a cluster and all that it signed have ended yesterday; what they say stays. */
export async function expire(namespace: string, cluster: string): Promise<void> {
  const validity = { nowMs: systemClock.wallMs() - 10 * dayMs, durationMs: 9 * dayMs };
  const authority = await makeAuthority(`${cluster} of yesterday`, validity);
  await write('secret', namespace, `${cluster}-ca`, {
    'ca.crt': authority.certificate,
    'ca.key': authority.key,
  });
  await write('configmap', namespace, `${cluster}-ca`, { 'ca.crt': authority.certificate });
  for (const name of [`${cluster}-tls`, `${cluster}-operator-client`]) {
    const { data } = await get<Secret>('secret', name, namespace);
    const names = namesOf(Buffer.from(data['tls.crt'] ?? '', 'base64').toString());
    const leaf: Pair = await signLeaf(authority, { ...validity, commonName: name, names });
    await write('secret', namespace, name, { 'tls.crt': leaf.certificate, 'tls.key': leaf.key });
  }
}

function namesOf(pem: string): readonly string[] {
  const { subjectAltName = '' } = new X509Certificate(pem);
  return subjectAltName.split(', ').map((name) => name.replace(/^(DNS|URI):/, ''));
}

/** As a whole on standard input: other users of the machine see what a command is called with. */
async function write(
  kind: 'secret' | 'configmap',
  namespace: string,
  name: string,
  text: { readonly [key: string]: string },
): Promise<void> {
  const encode = (value: string): string =>
    kind === 'secret' ? Buffer.from(value).toString('base64') : value;
  const found = await get<Secret>(kind, name, namespace);
  const given = Object.entries(text).map(([key, value]) => [key, encode(value)]);
  const object = { ...found, data: { ...found.data, ...Object.fromEntries(given) } };
  await kubectl(['replace', '-f', '-'], { input: JSON.stringify(object) });
}
