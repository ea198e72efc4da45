// What mutations answer: success, or the error as data. The earlier system's clients read `success` and `message`.

import {
  countOfPosition,
  type ErrorCode,
  EtlError,
  isEtlError,
  positionOfCount,
} from '@etl-router/core';

export interface MutationResult {
  readonly success: boolean;
  readonly message: string | null;
  readonly code: string | null;
}

/**
 * Runs a mutation; an expected failure becomes an answer. A defect stays an error, and so does that another member
 * leads: its details say where, which an answer has no place for.
 */
export async function answer(work: () => Promise<string | undefined>): Promise<MutationResult> {
  try {
    return { success: true, message: (await work()) ?? null, code: null };
  } catch (error) {
    if (!isEtlError(error) || staysError.has(error.code)) throw error;
    return { success: false, message: error.message, code: error.code };
  }
}

/** Codes of errors that no mutation answers with as data. */
export const staysError: ReadonlySet<ErrorCode> = new Set(['ETL_INTERNAL', 'ETL_NOT_LEADER']);

/** `namespace/name` of an id; a bare name is of the namespace `default`. */
export function toPipelineName(id: string): { readonly namespace: string; readonly name: string } {
  const slash = id.indexOf('/');
  return slash < 0
    ? { namespace: 'default', name: id }
    : { namespace: id.slice(0, slash), name: id.slice(slash + 1) };
}

/** A position as a client writes it: hexadecimal, or a decimal number for sources that count. */
export function toPosition(text: string): Uint8Array {
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)))
    return positionOfCount(Number(text));
  if (/^([0-9a-fA-F]{2}){1,256}$/.test(text)) return Buffer.from(text, 'hex');
  throw new EtlError(
    'ETL_INVALID_ARGUMENT',
    'offset: needs a decimal number, or a position of 1 to 256 bytes in hexadecimal',
  );
}

/** A position for people: the number where it counts, else hexadecimal. */
export function fromPosition(position: Uint8Array): string {
  const count = countOfPosition(position);
  return count === undefined ? Buffer.from(position).toString('hex') : String(count);
}
