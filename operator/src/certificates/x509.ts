// Makes and reads certificates: P-256 keys, made by WebCrypto and written as PEM, never shown in an error. What is read
// may be anything that somebody put into a Secret; what is no certificate is undefined.

import { createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
// Before the library, which needs it.
import './reflect-metadata.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509Certificate as X509Issued,
} from '@peculiar/x509';

/** A certificate and its key, in PEM. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

/** What is looked at of a certificate. */
export interface CertificateFacts {
  readonly fingerprint: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DNS and URI names, sorted. */
  readonly names: readonly string[];
}

/** How far a clock elsewhere may be behind: certificates are dated back by it. */
export const skewMs = 300_000;

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface Validity {
  readonly nowMs: number;
  readonly durationMs: number;
}

/** A new authority. Its name has its serial number: of two that are believed each chain leads to one. */
export async function makeAuthority(name: string, validity: Validity): Promise<Pair> {
  const keys = await newKeys();
  const serialNumber = newSerial();
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber,
      name: `CN=${name} ${serialNumber.slice(0, 8)}`,
      ...between(validity),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto as Crypto,
  );
  return toPair(certificate, keys.privateKey);
}

export interface LeafRequest extends Validity {
  readonly commonName: string;
  /** DNS names, and URIs where there is a scheme. */
  readonly names: readonly string[];
}

/** A certificate for both ends of a connection, which does not outlive its authority. */
export async function signLeaf(authority: Pair, request: LeafRequest): Promise<Pair> {
  const issuer = new X509Issued(authority.certificate);
  const keys = await newKeys();
  const { notBefore, notAfter } = between(request);
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: newSerial(),
      subject: `CN=${request.commonName}`,
      issuer: issuer.subject,
      notBefore,
      notAfter: new Date(Math.min(notAfter.getTime(), issuer.notAfter.getTime())),
      publicKey: keys.publicKey,
      signingKey: await importKey(authority.key),
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension(
          request.names.map((value) => ({
            type: value.includes('://') ? ('url' as const) : ('dns' as const),
            value,
          })),
        ),
        await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ],
    },
    webcrypto as Crypto,
  );
  return toPair(certificate, keys.privateKey);
}

/** The facts of one certificate in PEM; undefined: it is none. */
export function readCertificate(pem: string | undefined): CertificateFacts | undefined {
  const certificate = parsed(pem);
  if (certificate === undefined) return undefined;
  const { subjectAltName = '' } = certificate;
  return {
    fingerprint: certificate.fingerprint256,
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
    names: subjectAltName
      .split(', ')
      .flatMap((name) => /^(?:DNS|URI):(.*)$/.exec(name)?.[1] ?? [])
      .toSorted(),
  };
}

/** Each certificate of a text in PEM by itself. */
export function splitBundle(pem: string): readonly string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => `${block}\n`);
}

/** Whether the key is that of the certificate. */
export function isPair(certificate: string | undefined, key: string | undefined): boolean {
  if (key === undefined) return false;
  try {
    return parsed(certificate)?.checkPrivateKey(createPrivateKey(key)) === true;
  } catch {
    return false;
  }
}

/** Whether the authority signed the certificate. */
export function isSignedBy(certificate: string | undefined, authority: string): boolean {
  const [leaf, issuer] = [parsed(certificate), parsed(authority)];
  if (leaf === undefined || issuer === undefined) return false;
  return leaf.checkIssued(issuer) && leaf.verify(issuer.publicKey);
}

function parsed(pem: string | undefined): X509Certificate | undefined {
  if (pem === undefined) return undefined;
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

async function newKeys(): Promise<CryptoKeyPair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  return keys as CryptoKeyPair;
}

async function importKey(pem: string): Promise<CryptoKey> {
  const der = PemConverter.decodeFirst(pem);
  const key = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
  return key as CryptoKey;
}

async function toPair(certificate: X509Issued, privateKey: CryptoKey): Promise<Pair> {
  const key = await webcrypto.subtle.exportKey('pkcs8', privateKey);
  return {
    certificate: `${certificate.toString('pem')}\n`,
    key: `${PemConverter.encode(key, PemConverter.PrivateKeyTag)}\n`,
  };
}

function between({ nowMs, durationMs }: Validity): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(nowMs - skewMs), notAfter: new Date(nowMs + durationMs) };
}

/** 127 random bits: positive, and never the same twice. */
function newSerial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}
