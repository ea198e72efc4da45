// Unary calls of ready-made bytes through @grpc/grpc-js: the same code for both sides, and as little of it as can be,
// since the client runs on the same cores as the members.

import { Client, credentials, Metadata } from '@grpc/grpc-js';

const identity = (bytes: Buffer): Buffer => bytes;
const noMetadata = new Metadata();
const deadlineMs = 10_000;

export interface Unary {
  ask(path: string, request: Buffer): Promise<Uint8Array>;
  close(): void;
}

/** Calls in turn over `connections` connections to one address. */
export function makeUnary(address: string, connections: number): Unary {
  const clients = Array.from(
    { length: connections },
    () =>
      // Channels of equal options share a connection unless they are told not to.
      new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 }),
  );
  let turn = 0;
  return {
    ask(path, request) {
      turn = (turn + 1) % clients.length;
      const client = clients[turn] as Client;
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          path,
          identity,
          identity,
          request,
          noMetadata,
          { deadline: Date.now() + deadlineMs },
          (error, answer) => (error === null ? resolve(answer as Buffer) : reject(error)),
        );
      });
    },
    close() {
      for (const client of clients) client.close();
    },
  };
}
