// Messages to bytes and back. Malformed bytes are an EtlError that names the message, never a crash.

import {
  create,
  type DescMessage,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { EtlError } from '@etl-router/core';

/** A message whose bytes are made already, by who sends too many to have them made here. */
export class EncodedMessage {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
}

/** The bytes of a message, given as one or as its fields. Throws ETL_INVALID_ARGUMENT for a field out of its range. */
export function encodeMessage<D extends DescMessage>(
  schema: D,
  message: MessageInitShape<D> | EncodedMessage,
): Buffer {
  if (message instanceof EncodedMessage) return message.bytes;
  let bytes: Uint8Array;
  try {
    bytes = toBinary(schema, create(schema, message));
  } catch (cause) {
    throw new EtlError('ETL_INVALID_ARGUMENT', `${schema.typeName}: ${messageOf(cause)}`, {
      cause,
    });
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/**
 * The message that `bytes` hold; its bytes fields are views of them. Unknown fields are kept and written again.
 * Throws ETL_INVALID_ARGUMENT when they are not that message.
 */
export function decodeMessage<D extends DescMessage>(
  schema: D,
  bytes: Uint8Array,
): MessageShape<D> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `malformed protobuf: ${schema.typeName}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
