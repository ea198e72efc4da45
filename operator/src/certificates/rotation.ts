// Which certificate is made or replaced next. Pure, and one object a step: whoever dies between two steps leaves a state
// from which the next one follows. A new authority is believed everywhere before it signs, and an old one is believed
// until nothing that it signed is used; only where nothing can be used any more it goes faster.

import type { CertificatesView } from '../cluster/view.ts';
import { type CertificateFacts, skewMs } from './x509.ts';

/** A certificate of an authority. */
export interface AuthorityFacts extends CertificateFacts {
  /** Its key is there: it can sign. */
  readonly canSign: boolean;
}

/** A certificate of the members or of the operator. */
export interface LeafFacts extends CertificateFacts {
  /** It is not valid before its authority is. */
  readonly notBeforeMs: number;
  /** Its key is there and is its own. */
  readonly isWhole: boolean;
  /** Fingerprint of the authority that signed it, of those that are known. */
  readonly signedBy: string | undefined;
}

export interface CertificateState {
  readonly nowMs: number;
  /** Signs. */
  readonly current: AuthorityFacts | undefined;
  /** Is to sign when it is believed everywhere. */
  readonly next: AuthorityFacts | undefined;
  /** Signed before; believed until nothing that it signed is used. */
  readonly previous: readonly CertificateFacts[];
  /** Who is believed by members and operator, and since when. */
  readonly bundle: readonly CertificateFacts[];
  readonly bundleChangedAtMs: number;
  readonly members: LeafFacts | undefined;
  readonly membersChangedAtMs: number;
  readonly operator: LeafFacts | undefined;
  readonly operatorChangedAtMs: number;
}

export interface CertificateRules {
  readonly certificateMs: number;
  readonly renewBeforeMs: number;
  readonly authorityMs: number;
  readonly memberNames: readonly string[];
  readonly operatorNames: readonly string[];
}

/** Every kind of step: whoever has to know all of them asks here. */
export const certificateSteps = [
  /** A new authority signs from now on; who is in the bundle stays believed. */
  'makeAuthority',
  'makeNext',
  'adoptNext',
  'dropPrevious',
  'writeBundle',
  'signMembers',
  'signOperator',
] as const;

export interface CertificateStep {
  readonly kind: (typeof certificateSteps)[number];
}

export interface CertificatePlan {
  readonly step: CertificateStep | undefined;
  /** When to look again, should nothing happen until then. */
  readonly checkAfterMs: number;
}

/** Time in which a changed volume has reached every pod and was read again there. */
export const spreadMs = 180_000;

/**
 * What is not valid yet came from a clock that was ahead. So much later it is valid by itself, before anything else could be
 * in its place: operators whose clocks are a little apart leave each other's certificates alone.
 */
const earlyMaxMs = 60_000;

const checkMaxMs = 3_600_000;

export function planCertificates(
  state: CertificateState,
  rules: CertificateRules,
): CertificatePlan {
  const step =
    authorityStep(state, rules) ?? bundleStep(state) ?? leafStep(state, rules) ?? handOver(state);
  return { step, checkAfterMs: step === undefined ? pauseOf(state, rules) : 0 };
}

/** What is said of the certificates in the status of a cluster. */
export function certificatesViewOf({
  members,
  operator,
  nowMs,
}: CertificateState): CertificatesView {
  const leaves = [members, operator].filter((leaf) => leaf !== undefined);
  const ends = leaves.map((leaf) => leaf.notAfterMs);
  const notAfterMs = ends.length === 0 ? undefined : Math.min(...ends);
  if (notAfterMs !== undefined && notAfterMs <= nowMs) {
    const message = 'A certificate has expired and is being replaced.';
    return { state: 'expired', message, outOfDates: true, notAfterMs };
  }
  if (members?.isWhole !== true || operator?.isWhole !== true)
    return { state: 'pending', message: 'Certificates are being made.', notAfterMs };
  const notBeforeMs = Math.max(members.notBeforeMs, operator.notBeforeMs);
  if (notBeforeMs > nowMs)
    return { state: 'pending', message: sayEarly(notBeforeMs), outOfDates: true, notAfterMs };
  return { state: 'valid', notAfterMs };
}

function sayEarly(notBeforeMs: number): string {
  const from = new Date(notBeforeMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return `A certificate is valid from ${from} on only, since the clock that it was made by was ahead. It is replaced before, unless reconciliation is paused.`;
}

/** Who is believed, and so in the bundle: without those that have expired. */
export function believed({ current, next, previous, nowMs }: CertificateState): CertificateFacts[] {
  const all = [current, next, ...previous].filter((each) => each !== undefined);
  const seen = new Set<string>();
  return all.filter(({ fingerprint, notAfterMs }) => {
    const isNew = !seen.has(fingerprint) && notAfterMs > nowMs;
    seen.add(fingerprint);
    return isNew;
  });
}

function authorityStep(
  state: CertificateState,
  rules: CertificateRules,
): CertificateStep | undefined {
  const { current, next, nowMs } = state;
  const isUsable = (each: AuthorityFacts | undefined): boolean =>
    each?.canSign === true && each.notAfterMs > nowMs && !isEarly(each, nowMs);
  if (!isUsable(current)) return { kind: isUsable(next) ? 'adoptNext' : 'makeAuthority' };
  const left = (current as AuthorityFacts).notAfterMs - nowMs;
  // One that was begun and can not sign is not handed over to.
  const isAsked = next !== undefined || left < authorityRestMs(rules);
  return isAsked && !isUsable(next) ? { kind: 'makeNext' } : undefined;
}

function isEarly({ notBeforeMs }: CertificateFacts, nowMs: number): boolean {
  return notBeforeMs - nowMs > earlyMaxMs;
}

/** Rest of an authority's life at which the next one is made: the share of the others, and no leaf is cut short by it. */
function authorityRestMs({ authorityMs, certificateMs, renewBeforeMs }: CertificateRules): number {
  const share = (authorityMs * renewBeforeMs) / certificateMs;
  return Math.min(Math.max(share, certificateMs + 2 * spreadMs), authorityMs * 0.6);
}

function bundleStep(state: CertificateState): CertificateStep | undefined {
  const wanted = believed(state).map(({ fingerprint }) => fingerprint);
  const there = state.bundle.map(({ fingerprint }) => fingerprint);
  const isSame = wanted.length === there.length && wanted.every((each) => there.includes(each));
  // By a clock that was as far ahead as makes certificates early: nothing would be said to have spread for as long.
  const isDated = state.bundleChangedAtMs - skewMs - state.nowMs <= earlyMaxMs;
  return isSame && isDated ? undefined : { kind: 'writeBundle' };
}

function leafStep(state: CertificateState, rules: CertificateRules): CertificateStep | undefined {
  if (isDue(state, rules, state.members, rules.memberNames)) return { kind: 'signMembers' };
  if (isDue(state, rules, state.operator, rules.operatorNames)) return { kind: 'signOperator' };
  return undefined;
}

function isDue(
  state: CertificateState,
  { renewBeforeMs, certificateMs }: CertificateRules,
  leaf: LeafFacts | undefined,
  names: readonly string[],
): boolean {
  const { nowMs, current } = state;
  if (leaf === undefined || !leaf.isWhole || leaf.signedBy === undefined) return true;
  if (leaf.notAfterMs <= nowMs) return true;
  if (leaf.signedBy !== current?.fingerprint) return hasSpread(nowMs, state.bundleChangedAtMs);
  if (isEarly(leaf, nowMs)) return true;
  if (names.toSorted().join() !== leaf.names.join()) return true;
  // One that would not live longer is not worth being made: that is what the next authority is for.
  const next = Math.min(nowMs + certificateMs, current.notAfterMs);
  return leaf.notAfterMs - nowMs < renewBeforeMs && next - leaf.notAfterMs > renewBeforeMs / 2;
}

/** The next authority signs once everybody believes it; the last one goes once nobody shows what it signed. */
function handOver(state: CertificateState): CertificateStep | undefined {
  const { nowMs, next, current, previous, members, operator } = state;
  if (next !== undefined)
    return hasSpread(nowMs, state.bundleChangedAtMs) ? { kind: 'adoptNext' } : undefined;
  const isReplaced = [members, operator].every((leaf) => leaf?.signedBy === current?.fingerprint);
  const changedAtMs = Math.max(state.membersChangedAtMs, state.operatorChangedAtMs);
  if (previous.length > 0 && isReplaced && hasSpread(nowMs, changedAtMs))
    return { kind: 'dropPrevious' };
  return undefined;
}

function hasSpread(nowMs: number, sinceMs: number): boolean {
  return nowMs - sinceMs >= spreadMs;
}

function pauseOf(state: CertificateState, { renewBeforeMs }: CertificateRules): number {
  const { nowMs, next, previous, members, operator } = state;
  if (next !== undefined || previous.length > 0) return spreadMs / 6;
  const pauses = [members, operator].flatMap((leaf) => {
    const { notBeforeMs = nowMs, notAfterMs = nowMs } = leaf ?? {};
    const end = notAfterMs - renewBeforeMs - nowMs;
    return notBeforeMs > nowMs ? [notBeforeMs - nowMs, end] : [end];
  });
  return Math.min(checkMaxMs, Math.max(1000, Math.min(...pauses)));
}
