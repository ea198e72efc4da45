// A frame's bytes. Entries are most of what a cluster sends, once to every member, and the generated encoder copies
// each of them three times on the way; here the sizes are added up first and every byte is written once. The bytes are
// those of the generated encoder (frame-bytes.test.ts).

import { encodeMessage } from '@etl-router/proto/grpc';
import { EntryType, RaftMessageSchema } from '@etl-router/proto/raft';
import type { Entry } from '../../storage/log-types.ts';
import type { AppendEntries, Message } from '../messages.ts';
import { encodeRaftMessage } from './message-codec.ts';

/** Tags of the fields, as they stand on the wire: number, then 0 for a varint or 2 for bytes. */
const tags = {
  frameMessages: (2 << 3) | 2,
  from: 1 << 3,
  to: 2 << 3,
  term: 3 << 3,
  append: (6 << 3) | 2,
  previousIndex: 1 << 3,
  previousTerm: 2 << 3,
  entries: (3 << 3) | 2,
  commitIndex: 4 << 3,
  entryTerm: 1 << 3,
  entryIndex: 2 << 3,
  entryType: 3 << 3,
  entryData: (4 << 3) | 2,
} as const;

/** A message with what has to be known before it can be written. */
type Sized =
  | { readonly bytes: number; readonly encoded: Uint8Array }
  | { readonly bytes: number; readonly append: AppendEntries & Message; readonly body: number };

/** The bytes of an ExchangeRequest with these messages. */
export function encodeFrame(messages: readonly Message[]): Buffer {
  const sized = messages.map(sizeOf);
  const total = sized.reduce((sum, { bytes }) => sum + prefixed(bytes), 0);
  const writer = new FieldWriter(Buffer.allocUnsafe(total));
  for (const message of sized) {
    writer.length(tags.frameMessages, message.bytes);
    if ('encoded' in message) writer.raw(message.encoded);
    else writeAppend(writer, message.append, message.body);
  }
  return writer.bytes;
}

function sizeOf(message: Message): Sized {
  if (message.type !== 'appendEntries') {
    const encoded = encodeMessage(RaftMessageSchema, encodeRaftMessage(message));
    return { bytes: encoded.length, encoded };
  }
  let body =
    numberBytes(message.previousIndex) +
    numberBytes(message.previousTerm) +
    numberBytes(message.commitIndex);
  for (const entry of message.entries) body += prefixed(entryBytes(entry));
  const head = numberBytes(message.from) + numberBytes(message.to) + numberBytes(message.term);
  return { bytes: head + prefixed(body), append: message, body };
}

function writeAppend(writer: FieldWriter, message: AppendEntries & Message, body: number): void {
  writer.number(tags.from, message.from);
  writer.number(tags.to, message.to);
  writer.number(tags.term, message.term);
  writer.length(tags.append, body);
  writer.number(tags.previousIndex, message.previousIndex);
  writer.number(tags.previousTerm, message.previousTerm);
  for (const entry of message.entries) {
    writer.length(tags.entries, entryBytes(entry));
    writer.number(tags.entryTerm, entry.term);
    writer.number(tags.entryIndex, entry.index);
    writer.number(tags.entryType, typeOf(entry));
    if (entry.data.length === 0) continue;
    writer.length(tags.entryData, entry.data.length);
    writer.raw(entry.data);
  }
  writer.number(tags.commitIndex, message.commitIndex);
}

function entryBytes(entry: Entry): number {
  const { term, index, data } = entry;
  const numbers = numberBytes(term) + numberBytes(index) + numberBytes(typeOf(entry));
  return numbers + (data.length === 0 ? 0 : prefixed(data.length));
}

function typeOf({ type }: Entry): number {
  return type === 'normal' ? EntryType.NORMAL : EntryType.CONFIGURATION;
}

/** Bytes of a field with a number; 0 is left out. All tags take one byte. */
function numberBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

/** Bytes of a field that holds so many. */
function prefixed(bytes: number): number {
  return 1 + varintBytes(bytes) + bytes;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) bytes++;
  return bytes;
}

/** Writes fields one after the other into a buffer of the right size. */
class FieldWriter {
  readonly bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  number(tag: number, value: number): void {
    if (value !== 0) this.length(tag, value);
  }

  /** A number that is written even where it is 0: the length of what follows. */
  length(tag: number, value: number): void {
    const { bytes } = this;
    bytes[this.#at++] = tag;
    let left = value;
    // Bit operations would cut numbers beyond 32 bits.
    for (; left >= 0x8000_0000; left = Math.floor(left / 0x80)) {
      bytes[this.#at++] = (left % 0x80) | 0x80;
    }
    for (; left >= 0x80; left >>>= 7) bytes[this.#at++] = (left & 0x7f) | 0x80;
    bytes[this.#at++] = left;
  }

  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }
}
