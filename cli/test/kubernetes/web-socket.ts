// The server's side of a WebSocket that carries a port of a pod, as a kubelet speaks it: v4.channel.k8s.io, binary frames
// whose first byte names the stream, each stream begun with the number of the port. Written apart from the client's library.

import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** One port of one pod. */
export interface ForwardedPort {
  /** Bytes for the client; `stream` 1 is the one for errors. */
  readonly send: (bytes: Buffer, stream?: 0 | 1) => void;
  readonly close: () => void;
}

/** Takes the upgrade and calls `onData` with what the client sends to stream 0, and `onClose` when it is over. */
export function acceptPort(
  request: IncomingMessage,
  socket: Duplex,
  handlers: { readonly onData: (bytes: Buffer) => void; readonly onClose: () => void },
): ForwardedPort {
  const key = request.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1').update(`${key}${magic}`).digest('base64');
  socket.write(
    [
      'HTTP/1.1 101 Switching Protocols',
      'upgrade: websocket',
      'connection: Upgrade',
      'sec-websocket-protocol: v4.channel.k8s.io',
      `sec-websocket-accept: ${accept}\r\n\r\n`,
    ].join('\r\n'),
  );
  const send = (bytes: Buffer, stream: 0 | 1 = 0): void => {
    if (socket.writable) socket.write(frame(2, Buffer.concat([Buffer.of(stream), bytes])));
  };
  const close = (): void => {
    if (socket.writable) socket.end(frame(8, Buffer.alloc(0)));
  };
  const port = Number(new URL(request.url ?? '', 'http://a').searchParams.get('ports'));
  const number = Buffer.of(port & 255, port >> 8);
  send(number, 0);
  send(number, 1);
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let next = unframe(rest); next !== undefined; next = unframe(rest)) {
      rest = rest.subarray(next.size);
      if (next.opcode === 8) close();
      else if (next.opcode === 2 && next.payload[0] === 0)
        handlers.onData(next.payload.subarray(1));
    }
  });
  socket.on('close', handlers.onClose);
  socket.on('error', () => {});
  return { send, close };
}

function frame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  const head =
    length < 126
      ? Buffer.of(0x80 | opcode, length)
      : length < 65_536
        ? Buffer.of(0x80 | opcode, 126, length >> 8, length & 255)
        : Buffer.concat([Buffer.of(0x80 | opcode, 127, 0, 0, 0, 0), uint32(length)]);
  return Buffer.concat([head, payload]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** The first frame of the client, which masks what it sends. */
function unframe(bytes: Buffer): { opcode: number; payload: Buffer; size: number } | undefined {
  if (bytes.length < 2) return undefined;
  const opcode = (bytes[0] as number) & 15;
  const short = (bytes[1] as number) & 127;
  const extra = short === 126 ? 2 : short === 127 ? 8 : 0;
  if (bytes.length < 2 + extra + 4) return undefined;
  const length =
    extra === 0 ? short : extra === 2 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  const start = 2 + extra + 4;
  if (bytes.length < start + length) return undefined;
  const mask = bytes.subarray(start - 4, start);
  const payload = Buffer.from(
    bytes.subarray(start, start + length).map((byte, at) => byte ^ (mask[at % 4] as number)),
  );
  return { opcode, payload, size: start + length };
}
