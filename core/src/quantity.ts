// Sizes in bytes as people write them in manifests and settings: Kubernetes quantities, such as `64Mi`.
// Inside the product a size is a number of bytes whose name ends in Bytes; nothing else crosses.

import { EtlError } from './errors.ts';

const exponents = ['', 'k', 'M', 'G', 'T', 'P', 'E'] as const;
const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'] as const;
const quantity = /^(\d{1,19})(?:\.(\d{1,9}))?(?:([kMGTPE])(i?)|(Ki)|[eE](\d{1,2}))?$/;

/**
 * Bytes of a quantity: a decimal number with nothing, `k M G T P E` (powers of 1000), `Ki Mi Gi Ti Pi Ei` (powers
 * of 1024) or an exponent after it. It has to come to a whole number up to 2^53 - 1.
 * Throws ETL_INVALID_ARGUMENT that names `field`.
 */
export function parseQuantity(text: string | number, field = 'size'): number {
  const match = quantity.exec(String(text));
  if (match === null) throw refused(text, field, 'is not a size such as 500, 64Ki, 1.5Gi or 2M');
  const [, digits = '', fraction = '', letter, i, ki, exponent] = match;
  if (letter === 'k' && i === 'i') throw refused(text, field, 'has a small k; write Ki');
  const scale = scaleOf(letter, ki !== undefined || i === 'i', exponent);
  const scaled = BigInt(digits + fraction) * scale;
  const divisor = 10n ** BigInt(fraction.length);
  if (scaled % divisor !== 0n) throw refused(text, field, 'is not a whole number of bytes');
  const bytes = Number(scaled / divisor);
  if (!Number.isSafeInteger(bytes)) throw refused(text, field, 'is above 8Pi');
  return bytes;
}

/** The shortest exact quantity of a whole number of bytes, in powers of 1024; {@link parseQuantity} reverses it. */
export function formatQuantity(bytes: number): string {
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `${bytes} is not a size in bytes`);
  }
  let step = 0;
  let rest = bytes;
  while (rest > 0 && rest % 1024 === 0 && step < binary.length - 1) {
    rest /= 1024;
    step++;
  }
  return `${rest}${binary[step]}`;
}

function scaleOf(
  letter: string | undefined,
  isBinary: boolean,
  exponent: string | undefined,
): bigint {
  if (exponent !== undefined) return 10n ** BigInt(exponent);
  if (letter === undefined) return isBinary ? 1024n : 1n;
  const step = BigInt(exponents.indexOf(letter as (typeof exponents)[number]));
  return isBinary ? 1024n ** step : 1000n ** step;
}

function refused(text: string | number, field: string, why: string): EtlError {
  const shown = String(text);
  const quoted = JSON.stringify(shown.length > 40 ? `${shown.slice(0, 40)}…` : shown);
  return new EtlError('ETL_INVALID_ARGUMENT', `${field}: ${quoted} ${why}`, { details: { field } });
}
