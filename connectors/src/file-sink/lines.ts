// Payloads as JSON lines: copied as they are, one a line, into one buffer. Never parsed where the content type says
// JSON, so numbers and key order stay what the producer wrote.

import { isEtlError, type RecordBatch, type RecordFailure } from '@etl-router/core';

/** Lines of a batch; void when there are failures. */
export interface EncodedLines {
  readonly bytes: Buffer;
  readonly failures: readonly RecordFailure[];
}

const newline = 10;

/** The lines of all records, or the failures of those whose payload is not JSON on one line. */
export function encodeLines(batch: RecordBatch): EncodedLines {
  const failures: RecordFailure[] = [];
  const bytes = Buffer.allocUnsafe(batch.byteLength + batch.count);
  let length = 0;
  for (let index = 0; index < batch.count; index++) {
    const payload = batch.payload(index);
    const problem = problemOf(payload, batch, index);
    if (problem !== undefined) {
      failures.push(problem);
      continue;
    }
    bytes.set(payload, length);
    length += payload.length;
    bytes[length++] = newline;
  }
  return { bytes: bytes.subarray(0, length), failures };
}

function problemOf(payload: Buffer, batch: RecordBatch, index: number): RecordFailure | undefined {
  const count = payload.length;
  if (!beginsValue(payload[0]) || !endsValue(payload[count - 1])) {
    return notJson(index);
  }
  if (payload.indexOf(newline) >= 0) {
    return {
      index,
      code: 'NOT_ONE_LINE',
      message: 'the payload has a line break; a line of JSON has none',
      retryable: false,
    };
  }
  return isJsonType(batch.contentType(index)) || parses(batch, index) ? undefined : notJson(index);
}

function notJson(index: number): RecordFailure {
  return { index, code: 'NOT_JSON', message: 'the payload is not JSON', retryable: false };
}

/** `{ [ " -`, a digit, or the first letter of true, false and null. */
function beginsValue(byte: number | undefined): boolean {
  return (
    byte === 123 ||
    byte === 91 ||
    byte === 34 ||
    byte === 45 ||
    byte === 116 ||
    byte === 102 ||
    byte === 110 ||
    isDigit(byte)
  );
}

function endsValue(byte: number | undefined): boolean {
  return (
    byte === 125 || byte === 93 || byte === 34 || byte === 101 || byte === 108 || isDigit(byte)
  );
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 48 && byte <= 57;
}

function isJsonType(contentType: string): boolean {
  return (
    contentType === 'application/json' ||
    /^application\/(?:[\w.-]+\+)?json(?:\s*;.*)?$/i.test(contentType)
  );
}

function parses(batch: RecordBatch, index: number): boolean {
  try {
    batch.value(index);
    return true;
  } catch (error) {
    if (isEtlError(error)) return false;
    throw error;
  }
}
