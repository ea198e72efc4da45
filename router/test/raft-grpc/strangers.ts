// The other ends that the tests of the transport need and that no release is: clients that say what they like, and
// servers that do not read.

import { once } from 'node:events';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { isEtlError, systemClock } from '@etl-router/core';
import {
  addService,
  bindServer,
  closeServer,
  createClient,
  createServer,
  type GrpcClient,
} from '@etl-router/proto/grpc';
import {
  type ExchangeRequest,
  type ExchangeRequestSchema,
  type ExchangeResponse,
  type MemberIdentity,
  MemberIdentitySchema,
  RaftService,
} from '@etl-router/proto/raft';
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { clusterId, type Member, type Members } from './members.ts';

export type StrangeFrame = MessageInitShape<typeof ExchangeRequestSchema>;

/** A client that is no transport. */
export function strangerTo(members: Members, { peer }: Member): GrpcClient<typeof RaftService> {
  const client = createClient(RaftService, peer.address, ChannelCredentials.createInsecure());
  members.onClose(async () => client.close());
  return client;
}

export function identity(fields: MessageInitShape<typeof MemberIdentitySchema>): MemberIdentity {
  return create(MemberIdentitySchema, {
    clusterId,
    raftId: 9n,
    name: 'm9',
    address: '127.0.0.1:1',
    protocolVersion: 1,
    ...fields,
  });
}

/** Sends frames, and gives the code and text with which the stream ends; it must not end by itself. */
export async function refusalOf(
  client: GrpcClient<typeof RaftService>,
  ...frames: readonly StrangeFrame[]
): Promise<string> {
  async function* requests(): AsyncGenerator<StrangeFrame, void> {
    yield* frames;
    await new Promise(() => undefined);
  }
  try {
    for await (const _ of client.exchange(requests(), { deadlineMs: 120_000 })) continue;
  } catch (error) {
    if (isEtlError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'ended';
}

/** A server that greets as a member and reads its streams as long as `reads` says. */
export async function addReader(
  members: Members,
  id: number,
  reads: (frame: ExchangeRequest) => boolean,
): Promise<{ readonly id: number; readonly name: string; readonly address: string }> {
  const server = createServer();
  const name = `m${id}`;
  addService(server, RaftService, {
    greet: () => ({
      from: identity({ raftId: BigInt(id), name }),
      peers: [],
      initialised: true,
    }),
    async *exchange(requests, { signal }): AsyncGenerator<Pick<ExchangeResponse, 'framesRead'>> {
      let framesRead = 0n;
      for await (const frame of requests) {
        if (!reads(frame)) await once(signal, 'abort');
        yield { framesRead: ++framesRead };
      }
    },
    installSnapshot: () => Promise.reject(new Error('takes none')),
    propose: () => Promise.reject(new Error('takes none')),
  });
  const port = await bindServer(server, '127.0.0.1:0', ServerCredentials.createInsecure());
  members.onClose(() => closeServer(server, AbortSignal.abort()));
  return { id, name, address: `127.0.0.1:${port}` };
}

/** A relay in front of an address that can be cut, to break connections at a given byte. */
export class Relay {
  readonly #sockets = new Set<Socket>();
  #port = 0;
  /** Bytes that still pass towards the address before everything is cut; forwarded without end by default. */
  remaining = Number.POSITIVE_INFINITY;
  passed = 0;

  static async open(members: Members, address: string): Promise<Relay> {
    const relay = new Relay();
    const port = Number(address.slice(address.lastIndexOf(':') + 1));
    const server = createTcpServer((from) => relay.#relay(from, port));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const bound = server.address();
    relay.#port = typeof bound === 'object' && bound !== null ? bound.port : 0;
    members.onClose(async () => {
      relay.cut();
      server.close();
      await once(server, 'close');
    });
    return relay;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  #relay(from: Socket, port: number): void {
    const to = new (from.constructor as typeof Socket)();
    to.connect(port, '127.0.0.1');
    for (const socket of [from, to]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        from.destroy();
        to.destroy();
      });
    }
    from.on('data', (bytes) => {
      this.remaining -= bytes.length;
      this.passed += bytes.length;
      if (this.remaining < 0) {
        this.remaining = Number.POSITIVE_INFINITY;
        this.cut();
      } else if (!to.write(bytes)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    });
    to.on('data', (bytes) => from.write(bytes));
  }
}

/** Does something again and again until a promise resolves: what is sent while nobody is reached is dropped. */
export async function repeatUntil(done: Promise<void>, run: () => void): Promise<void> {
  let isDone = false;
  const settled = done.then(() => {
    isDone = true;
  });
  while (!isDone) {
    run();
    await Promise.race([settled, new Promise<void>((next) => systemClock.after(5, next))]);
  }
}
