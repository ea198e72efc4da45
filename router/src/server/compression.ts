// Bytes that go compressed from and to callers. What comes is taken apart no further than it may be: a small input can
// stand for a very large output.

import { Readable, type Transform } from 'node:stream';
import { createGunzip, createGzip, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { EtlError } from '@etl-router/core';

export const compressions = ['none', 'gzip', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

/** Output at a time. */
const pieceBytes: number = 256 * 1024;

/** The bytes, compressed. */
export function compress(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  if (compression === 'none') return chunks;
  const chunkSize = pieceBytes;
  return through(
    chunks,
    compression === 'gzip' ? createGzip({ chunkSize }) : createZstdCompress({ chunkSize }),
  );
}

/** The bytes as they were. Throws ETL_INVALID_ARGUMENT where they are not so compressed, or are more than `maxBytes`. */
export async function* decompress(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of decompressed(chunks, compression)) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new EtlError(
        'ETL_INVALID_ARGUMENT',
        `more comes than the ${maxBytes} bytes that were announced`,
        { details: { limitBytes: maxBytes } },
      );
    }
    yield chunk;
  }
}

function decompressed(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  if (compression === 'none') return chunks;
  const chunkSize = pieceBytes;
  return through(
    chunks,
    compression === 'gzip' ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize }),
  );
}

/** What comes out of `transform`; an error of the input is thrown as it is. */
async function* through(
  chunks: AsyncIterable<Uint8Array>,
  transform: Transform,
): AsyncGenerator<Uint8Array> {
  let cause: Error | undefined;
  const input = Readable.from(
    (async function* () {
      try {
        yield* chunks;
      } catch (error) {
        cause = error instanceof Error ? error : new Error(String(error));
        throw cause;
      }
    })(),
  );
  input.on('error', (error) => transform.destroy(error));
  input.pipe(transform);
  try {
    for await (const chunk of transform) yield chunk as Uint8Array;
  } catch (error) {
    if (cause !== undefined) throw cause;
    const { code } = error as NodeJS.ErrnoException;
    throw new EtlError(
      'ETL_INVALID_ARGUMENT',
      `what comes is not compressed as it says (${code ?? String(error)})`,
      { cause: error },
    );
  } finally {
    transform.destroy();
    input.destroy();
  }
}
