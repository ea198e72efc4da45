// Many small byte strings as one buffer that a message can hand over. Cloning each by itself costs more than a copy of
// all of them, and would drag along whatever else lies in the buffers they are views of.

import { assert } from '@etl-router/core';

/** Byte strings, one behind the other. */
export interface Packed {
  /** A buffer of its own, so that it can be transferred. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lengths: readonly number[];
}

/** Copies them into a buffer of its own. */
export function pack(pieces: readonly Uint8Array[]): Packed {
  const lengths = pieces.map(({ length }) => length);
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return { bytes, lengths };
}

/** Each as bytes of its own: whoever keeps one does not keep them all. */
export function unpack(packed: Packed): readonly Uint8Array[] {
  return unpackViews(packed).map((piece) => piece.slice());
}

/** Views of the one buffer, for those who keep all of them about as long, as a log does. */
export function unpackViews({ bytes, lengths }: Packed): readonly Uint8Array[] {
  let at = 0;
  const pieces = lengths.map((length) => bytes.subarray(at, (at += length)));
  assert(at === bytes.length, 'a message has the bytes that it says it has');
  return pieces;
}
