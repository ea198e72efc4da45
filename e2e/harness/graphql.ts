// The GraphQL of a router cluster, asked as a person does: kubectl forwards a port of the Service or of one pod, a token
// of a ServiceAccount opens it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { within } from './eventually.ts';
import { environment, kubectl } from './kubectl.ts';
import { applyClient } from './writer.ts';

export interface Answer {
  readonly status: number;
  readonly data?: { readonly [field: string]: unknown } | null;
  readonly errors?: readonly { readonly message: string }[];
}

export type Ask = (query: string, token?: string) => Promise<Answer>;

const answerMs = 10_000;

/** Hands `use` a function that asks a target such as `svc/main` or `pod/main-1`, and closes the way to it afterwards. */
export async function withGraphQL<T>(
  namespace: string,
  target: string,
  use: (ask: Ask) => Promise<T>,
): Promise<T> {
  const { port, close } = await forward(namespace, target, 8080);
  try {
    return await use(async (query, token) => {
      const response = await fetch(`http://127.0.0.1:${port}/graphql`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: JSON.stringify({ query }),
        signal: AbortSignal.timeout(answerMs),
      });
      const body = await response.text();
      const answer = body.startsWith('{') ? (JSON.parse(body) as object) : {};
      return { status: response.status, ...answer };
    });
  } finally {
    close();
  }
}

/** kubectl port-forward to a port of this machine that is free. */
export async function forward(
  namespace: string,
  target: string,
  port: number,
): Promise<{ port: number; close: () => void }> {
  const child = spawn('kubectl', ['port-forward', '-n', namespace, target, `:${port}`], {
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const opened = new Promise<number>((resolve, reject) => {
    let said = '';
    const hear = (chunk: Buffer): void => {
      said += chunk.toString();
      const match = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said);
      if (match !== null) resolve(Number(match[1]));
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('error', reject);
    child.on('close', () => reject(new Error(`no way to ${target}: ${said}`)));
  });
  const close = (): void => void child.kill();
  try {
    return { port: await within(answerMs, `a way to ${target}`, () => opened), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** A token of a ServiceAccount. */
export async function tokenOf(namespace: string, account: string): Promise<string> {
  return (await kubectl(['create', 'token', account, '-n', namespace])).trim();
}

/** The documents that every client of the product begins with. */
export function readDocuments(): readonly string[] {
  const text = readFileSync(new URL('documents.graphql', import.meta.url), 'utf8');
  return text
    .split(/^#.*\n/m)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** Asks the documents one after the other, with a client's rights; each has to be answered. */
export async function askGraphQL(
  namespace: string,
  cluster: string,
  documents: readonly string[],
  say: (line: string) => void = () => {},
): Promise<void> {
  await applyClient(namespace, 'client', ['get', 'update']);
  const token = await tokenOf(namespace, 'client');
  await withGraphQL(namespace, `svc/${cluster}`, async (ask) => {
    for (const document of documents) {
      const { status, data, errors } = await ask(document, token);
      assert.equal(status, 200, document);
      assert.equal(errors, undefined, `${document}: ${errors?.[0]?.message}`);
      say(JSON.stringify(data));
    }
  });
}

/** What a pod says of itself. */
export interface Word {
  readonly clusterId: string;
  readonly raftId: string;
}

/** By its own API; throws where it does not answer. */
export async function wordOf(namespace: string, pod: string, token: string): Promise<Word> {
  return withGraphQL(namespace, `pod/${pod}`, async (ask) => {
    const { status, data } = await ask('{ clusterStatus { clusterId raftId } }', token);
    assert.equal(status, 200, `${pod} answers`);
    assert.ok(data, `${pod} answers`);
    return data['clusterStatus'] as Word;
  });
}

/** Names of the sources that a writer has written by now, sorted. */
export async function writtenIn(
  namespace: string,
  cluster: string,
  writer: string,
): Promise<readonly string[]> {
  const token = await tokenOf(namespace, writer);
  return withGraphQL(namespace, `svc/${cluster}`, async (ask) => {
    const query = `{ objects(kind: EtlSource, namespace: "${writer}") { name } }`;
    const { status, data, errors } = await ask(query, token);
    assert.equal(status, 200);
    assert.equal(errors, undefined, errors?.[0]?.message);
    const objects = data?.['objects'] as readonly { readonly name: string }[];
    return objects.map(({ name }) => name).sort();
  });
}
