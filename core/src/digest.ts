// SHA-256 for code that must be a function of its input alone and may import nothing of the machine.

import { createHash } from 'node:crypto';

/** The 32 bytes of SHA-256 over all parts, one after the other. */
export function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
