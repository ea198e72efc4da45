// The certificates of a cluster as they lie in Secrets and a ConfigMap, and what a step makes of them. Keys pass through
// and are never said.

import type { Clock } from '@etl-router/core';
import { hostOf, membersMax, peersName } from '../cluster/names.ts';
import {
  type AuthorityFacts,
  believed,
  type CertificateRules,
  type CertificateState,
  type CertificateStep,
  type LeafFacts,
} from './rotation.ts';
import {
  type CertificateFacts,
  isPair,
  isSignedBy,
  makeAuthority,
  type Pair,
  readCertificate,
  signLeaf,
  splitBundle,
} from './x509.ts';

/** The data of one object, as text. */
export interface StoredData {
  readonly data: { readonly [key: string]: string };
  /** When it was last changed by a step; an object without such a mark was always so. */
  readonly changedAtMs: number;
}

/** `authority`: Secret main-ca; `bundle`: ConfigMap main-ca; `members`: main-tls; `operator`: main-operator-client. */
export type StoreName = 'authority' | 'bundle' | 'members' | 'operator';

export type Stored = { readonly [Name in StoreName]: StoredData | undefined };

/** Where the time of the last change stands on an object. */
export const changedAtAnnotation = 'etl.router/certificates-changed-at';

/** Names of the operator's certificate: who may administer. */
export const operatorNames: readonly string[] = ['etl-operator', 'etl-router://operator'];

/** Names of the members' certificate: each member that there may be, and where it and the Services are reached. */
export function memberNames(cluster: string, namespace: string): readonly string[] {
  const members = Array.from({ length: membersMax }, (_, at) => String(at + 1));
  const services = [cluster, peersName(cluster)].flatMap((name) => [
    `${name}.${namespace}`,
    `${name}.${namespace}.svc`,
  ]);
  const anyPod = hostOf(cluster, namespace, 1).replace(/^[^.]+/, '*');
  return [...members, cluster, ...services, anyPod, 'localhost'];
}

export function readState(stored: Stored, nowMs: number): CertificateState {
  const authority = stored.authority?.data ?? {};
  const bundle = splitBundle(stored.bundle?.data['ca.crt'] ?? '');
  const current = authorityFacts(authority['ca.crt'], authority['ca.key']);
  const next = authorityFacts(authority['next.crt'], authority['next.key']);
  const previous = splitBundle(authority['previous.crt'] ?? '');
  const known = [authority['ca.crt'] ?? '', ...previous, ...bundle];
  return {
    nowMs,
    current,
    next,
    previous: factsOf(previous),
    bundle: factsOf(bundle),
    bundleChangedAtMs: stored.bundle?.changedAtMs ?? 0,
    members: leafFacts(stored.members, known),
    membersChangedAtMs: stored.members?.changedAtMs ?? 0,
    operator: leafFacts(stored.operator, known),
    operatorChangedAtMs: stored.operator?.changedAtMs ?? 0,
  };
}

/** The one object that the step changes, as it is to be. */
export interface StoreChange {
  readonly name: StoreName;
  readonly data: { readonly [key: string]: string };
}

export interface StepInput {
  readonly stored: Stored;
  readonly rules: CertificateRules;
  readonly clock: Clock;
  /** Namespace and name, for people. */
  readonly cluster: string;
}

/** Throws where the step does not fit what is stored: it was planned from something else. */
export async function takeStep(step: CertificateStep, input: StepInput): Promise<StoreChange> {
  switch (step.kind) {
    case 'makeAuthority':
    case 'makeNext':
    case 'adoptNext':
    case 'dropPrevious':
      return { name: 'authority', data: await nextAuthority(step.kind, input) };
    case 'writeBundle':
      return { name: 'bundle', data: { 'ca.crt': bundleOf(input) } };
    case 'signMembers':
      return { name: 'members', data: await leafData(input, 'members') };
    case 'signOperator':
      return { name: 'operator', data: await leafData(input, 'operator') };
  }
}

async function nextAuthority(
  kind: 'makeAuthority' | 'makeNext' | 'adoptNext' | 'dropPrevious',
  input: StepInput,
): Promise<{ readonly [key: string]: string }> {
  const { stored, rules, clock, cluster } = input;
  const data = stored.authority?.data ?? {};
  const { 'previous.crt': _, ...kept } = data;
  if (kind === 'dropPrevious') return kept;
  if (kind === 'adoptNext') {
    const { 'next.crt': certificate = '', 'next.key': key = '' } = data;
    const previous = `${data['previous.crt'] ?? ''}${data['ca.crt'] ?? ''}`;
    return { 'ca.crt': certificate, 'ca.key': key, 'previous.crt': previous };
  }
  const validity = { nowMs: clock.wallMs(), durationMs: rules.authorityMs };
  const { certificate, key } = await makeAuthority(`etl-router ${cluster}`, validity);
  if (kind === 'makeNext') return { ...data, 'next.crt': certificate, 'next.key': key };
  // What was believed stays so: its certificates may still be in use. So does what a clock that was ahead took for ended.
  const bundle = splitBundle(stored.bundle?.data['ca.crt'] ?? '');
  const previous = new Set([...bundle, ...splitBundle(data['previous.crt'] ?? '')]);
  return { 'ca.crt': certificate, 'ca.key': key, 'previous.crt': [...previous].join('') };
}

function bundleOf({ stored, clock }: StepInput): string {
  const wanted = believed(readState(stored, clock.wallMs()));
  const data = stored.authority?.data ?? {};
  const all = ['ca.crt', 'next.crt', 'previous.crt'].flatMap((key) => splitBundle(data[key] ?? ''));
  return wanted
    .map(({ fingerprint }) => all.find((pem) => readCertificate(pem)?.fingerprint === fingerprint))
    .join('');
}

async function leafData(
  { stored, rules, clock, cluster }: StepInput,
  whose: 'members' | 'operator',
): Promise<{ readonly [key: string]: string }> {
  const { 'ca.crt': certificate = '', 'ca.key': key = '' } = stored.authority?.data ?? {};
  const authority: Pair = { certificate, key };
  const leaf = await signLeaf(authority, {
    nowMs: clock.wallMs(),
    durationMs: rules.certificateMs,
    commonName: `${whose} of ${cluster}`.slice(0, 64),
    names: whose === 'members' ? rules.memberNames : rules.operatorNames,
  });
  return { 'tls.crt': leaf.certificate, 'tls.key': leaf.key };
}

function authorityFacts(certificate = '', key = ''): AuthorityFacts | undefined {
  const facts = readCertificate(certificate);
  return facts === undefined ? undefined : { ...facts, canSign: isPair(certificate, key) };
}

function factsOf(pems: readonly string[]): readonly CertificateFacts[] {
  return pems.flatMap((pem) => readCertificate(pem) ?? []);
}

function leafFacts(
  stored: StoredData | undefined,
  authorities: readonly string[],
): LeafFacts | undefined {
  const { 'tls.crt': certificate = '', 'tls.key': key = '' } = stored?.data ?? {};
  const facts = readCertificate(certificate);
  if (facts === undefined) return undefined;
  const issuer = authorities.find((authority) => isSignedBy(certificate, authority));
  const authority = readCertificate(issuer ?? '');
  const notBeforeMs = Math.max(facts.notBeforeMs, authority?.notBeforeMs ?? 0);
  const isWhole = isPair(certificate, key);
  return { ...facts, notBeforeMs, isWhole, signedBy: authority?.fingerprint };
}
