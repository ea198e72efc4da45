import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { formatAddress } from '../../src/config/parse.ts';
import { start } from './fixture.ts';

interface Problem {
  readonly status: number;
  readonly title: string;
  readonly code?: string;
}

/** The address of a router's HTTP port, with the snapshot `one`. */
async function startWithOne(t: TestContext): Promise<string> {
  const fixture = await start(t);
  const { errors } = await fixture.graphql('mutation { createSnapshot(id: "one") { id } }');
  assert.equal(errors, undefined);
  const { http } = fixture.running.addresses;
  assert(http !== undefined);
  return `http://${formatAddress(http)}`;
}

async function bytesOf(address: string): Promise<Buffer> {
  const response = await fetch(address, { headers: { connection: 'close' } });
  assert.equal(response.status, 200);
  return Buffer.from(await response.arrayBuffer());
}

function put(
  address: string,
  body: Uint8Array,
  type = 'application/octet-stream',
): Promise<Response> {
  const headers = { 'content-type': type, connection: 'close' };
  return fetch(address, { method: 'PUT', headers, body: new Uint8Array(body) });
}

test('a snapshot is given and taken over HTTP', async (t) => {
  const base = await startWithOne(t);
  const plain = await bytesOf(`${base}/backups/one`);
  const zstd = await bytesOf(`${base}/backups/one?compression=zstd`);
  assert.deepEqual(zstdDecompressSync(zstd), plain);
  const sha256 = createHash('sha256').update(plain).digest('hex');
  const query = `size=${plain.length}&sha256=${sha256}&compression=zstd`;
  assert.equal((await put(`${base}/backups/two?${query}`, zstd)).status, 201);
  assert.deepEqual(await bytesOf(`${base}/backups/two`), plain);
  const again = await put(`${base}/backups/two?${query}`, zstd);
  const { code } = (await again.json()) as Problem;
  assert.deepEqual([again.status, code], [409, 'ETL_CONFLICT']);
});

test('what is asked for wrongly is refused with a code and words', async (t) => {
  const base = await startWithOne(t);
  const told = `size=1&sha256=${'0'.repeat(64)}`;
  const some = Buffer.from('x');
  const cases: readonly (readonly [Promise<Response>, number, string])[] = [
    [fetch(`${base}/backups/none`), 404, 'ETL_NOT_FOUND'],
    [fetch(`${base}/backups/one?compression=lz4`), 400, 'ETL_INVALID_ARGUMENT'],
    [fetch(`${base}/backups/..%2f..%2fidentity.json`), 400, 'ETL_INVALID_ARGUMENT'],
    [fetch(`${base}/backups/%ff`), 400, 'ETL_INVALID_ARGUMENT'],
    [fetch(`${base}/backups/`), 400, 'ETL_INVALID_ARGUMENT'],
    [put(`${base}/backups/x?sha256=${'0'.repeat(64)}`, some), 400, 'ETL_INVALID_ARGUMENT'],
    [put(`${base}/backups/x?size=1`, some), 400, 'ETL_INVALID_ARGUMENT'],
    [put(`${base}/backups/x?${told}`, some), 400, 'ETL_INVALID_ARGUMENT'],
    [put(`${base}/backups/x?${told}`, some, 'text/plain'), 400, 'ETL_INVALID_ARGUMENT'],
    [put(`${base}/backups/x?size=9e12&sha256=${'0'.repeat(64)}`, some), 413, 'ETL_LIMIT_EXCEEDED'],
  ];
  for (const [response, status, code] of cases) {
    const answer = await response;
    const problem = (await answer.json()) as Problem;
    assert.deepEqual([answer.status, problem.code], [status, code], problem.title);
  }
  const posted = await fetch(`${base}/backups/one`, { method: 'DELETE' });
  assert.deepEqual([posted.status, posted.headers.get('allow')], [405, 'GET, PUT']);
});
