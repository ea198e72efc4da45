import assert from 'node:assert/strict';
import { Agent, request, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { type ListeningServer, listenHttp } from '../../src/api/http/listen.ts';

const graceMs = 60_000;
/** How long a server keeps a connection on which nothing is asked. */
const keptMs = 5000;

/** A server whose requests wait to be answered by the test, and a client that keeps its one connection. */
async function startHeld() {
  const held: ServerResponse[] = [];
  const server: ListeningServer = await listenHttp({
    address: { host: '127.0.0.1', port: 0 },
    flag: 'http-addr',
    handler: (_, response) => held.push(response),
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = async (): Promise<{ status: number | undefined; connection: string | undefined }> => {
    const { promise, resolve, reject } = Promise.withResolvers<{
      status: number | undefined;
      connection: string | undefined;
    }>();
    const outgoing = request(
      { host: '127.0.0.1', port: server.address.port, agent },
      (response) => {
        response.resume();
        response.once('error', reject);
        response.once('end', () =>
          resolve({ status: response.statusCode, connection: response.headers.connection }),
        );
      },
    );
    outgoing.once('error', reject);
    outgoing.end();
    return promise;
  };
  const arrived = async (count: number): Promise<void> => {
    while (held.length < count) await new Promise((resolve) => setImmediate(resolve));
  };
  return { server, agent, ask, held, arrived };
}

for (const hasBegun of [false, true]) {
  const when = hasBegun ? 'whose answer has begun' : 'that is not answered yet';
  test(`a request ${when} ends when the server closes, which waits for nothing else`, async () => {
    const { server, agent, ask, held, arrived } = await startHeld();
    const first = ask();
    await arrived(1);
    held[0]?.end();
    assert.equal((await first).connection, 'keep-alive');
    const last = ask();
    await arrived(2);
    if (hasBegun) held[1]?.flushHeaders();
    const beganMs = performance.now();
    const closed = server.close(graceMs);
    held[1]?.end('done');
    assert.equal((await last).status, 200);
    await closed;
    assert(performance.now() - beganMs < keptMs / 2);
    await assert.rejects(ask(), /ECONNREFUSED|socket hang up/);
    agent.destroy();
  });
}

test('an answer that does not end is cut off after the grace', async () => {
  const { server, agent, ask, held, arrived } = await startHeld();
  const last = ask();
  await arrived(1);
  held[0]?.flushHeaders();
  const closed = server.close(50);
  await assert.rejects(last, { code: 'ECONNRESET' });
  await closed;
  agent.destroy();
});
