// Looks at a member's own certificate before it takes part. Others refuse a connection without a word on why, so what
// they would refuse it for is found and said here: a date, a name, an authority that did not sign it.

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { EtlError } from '@etl-router/core';
import { isNamedBy, type PeerSecurity } from './security.ts';

/** Certificates between a member's own and its authority. */
const maxIntermediates = 8;

/** Throws ETL_CONFIG_INVALID where the other members would refuse the certificate of member `name`. */
export async function checkOwnCertificate(
  security: PeerSecurity,
  { name, clusterId }: { readonly name: string; readonly clusterId: string },
  nowMs: number,
): Promise<void> {
  if ('insecure' in security) return;
  const { caFile, certFile } = security;
  const [authorities, chain] = await Promise.all([caFile, certFile].map(readCertificates));
  const [own, ...intermediates] = chain ?? [];
  // What can not be read at all is refused by whoever opens it.
  if (own === undefined || authorities === undefined) return;
  const fault =
    wrongTime(own, nowMs) ??
    wrongName(own, name, clusterId) ??
    (isSigned(own, intermediates, authorities)
      ? undefined
      : `none of the authorities in ${caFile} signed it`);
  if (fault === undefined) return;
  throw new EtlError(
    'ETL_CONFIG_INVALID',
    `--raft-cert-file ${certFile}: the other members would refuse it: ${fault}`,
  );
}

async function readCertificates(path: string): Promise<readonly X509Certificate[]> {
  try {
    const text = await readFile(path, 'latin1');
    const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return [];
  }
}

function wrongTime(
  { validFromDate, validToDate }: X509Certificate,
  nowMs: number,
): string | undefined {
  const now = new Date(nowMs).toISOString();
  if (nowMs < validFromDate.getTime())
    return `it is valid from ${validFromDate.toISOString()}, and here it is ${now}; see that the clock is right`;
  if (nowMs > validToDate.getTime())
    return `it expired at ${validToDate.toISOString()}, and here it is ${now}; renew it`;
  return undefined;
}

function wrongName(
  { subjectAltName = '' }: X509Certificate,
  name: string,
  clusterId: string,
): string | undefined {
  // Node words the names of both kinds of certificate alike.
  if (isNamedBy(subjectAltName, name, clusterId)) return undefined;
  return `it does not name member ${name}; its subject alternative names need DNS:${name} or URI:etl-router://${clusterId || '<cluster id>'}/${name}`;
}

/** Whether one of the authorities stands behind it, over the certificates that are given with it. */
function isSigned(
  own: X509Certificate,
  intermediates: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): boolean {
  let current = own;
  for (let step = 0; step <= maxIntermediates; step++) {
    const by = (issuer: X509Certificate): boolean =>
      current.checkIssued(issuer) && current.verify(issuer.publicKey);
    if (authorities.some(by)) return true;
    const next = intermediates.find((each) => each !== current && by(each));
    if (next === undefined) return false;
    current = next;
  }
  return false;
}
