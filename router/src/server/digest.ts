// One number for a whole state, to compare members and replays by. Equal digests at equal log indexes are what the
// state machine promises (docs/specs/0004-state-machine.md).

import { createHash } from 'node:crypto';
import type { StoredRow } from '../state/machine.ts';

/** SHA-256, in hexadecimal, over all rows in order, each key and value after its length. */
export function stateDigest(rows: Iterable<StoredRow>): string {
  const hash = createHash('sha256');
  const lengths = Buffer.alloc(8);
  for (const [key, value] of rows) {
    lengths.writeUInt32BE(key.length, 0);
    lengths.writeUInt32BE(value.length, 4);
    hash.update(lengths).update(key).update(value);
  }
  return hash.digest('hex');
}
