// An API server that knows nothing but reviews: whose a token is, and what its owner may do. It remembers what it was
// asked, and can be away.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { Authority } from '../../authority.ts';
import { atEnd } from '../fixture.ts';

interface Review {
  readonly spec: {
    readonly token?: string;
    readonly user?: string;
    readonly resourceAttributes?: { readonly [attribute: string]: string };
  };
}

/** Rights by user: verbs on etlrouterclusters/graphql of shop/main. */
export type Rights = { readonly [user: string]: readonly string[] };

export class ReviewServer {
  /** Flags of a router that asks this server. */
  readonly flags: { readonly [flag: string]: string };
  readonly asked: string[] = [];
  /** Users by token. */
  readonly users = new Map<string, string>();
  isAway = false;
  readonly #rights: Rights;
  readonly #ownToken: string;

  private constructor(rights: Rights, ownToken: string, port: number, accountDirectory: string) {
    this.#rights = rights;
    this.#ownToken = ownToken;
    this.flags = {
      access: 'kubernetes',
      'access-namespace': 'shop',
      'access-cluster': 'main',
      'access-server': `127.0.0.1:${port}`,
      'access-account-dir': accountDirectory,
    };
  }

  /** Listens until the end of the test. Who comes without the router's own token is refused. */
  static async start(
    t: TestContext,
    directory: string,
    { rights, ownToken = 'own-token' }: { readonly rights: Rights; readonly ownToken?: string },
  ): Promise<ReviewServer> {
    const account = `${directory}/account`;
    await mkdir(account);
    const authority = await Authority.create(directory, 'kubernetes');
    const { caFile, certFile, keyFile } = await authority.issue('api-server', 'IP:127.0.0.1');
    await writeFile(`${account}/ca.crt`, await readFile(caFile));
    await writeFile(`${account}/token`, `${ownToken}\n`);
    const tls = { cert: await readFile(certFile), key: await readFile(keyFile) };
    let reviews: ReviewServer | undefined;
    const server: Server = createServer(tls, (request, response) => {
      void reviews?.answer(request).then(({ code, body }) => {
        response.statusCode = code;
        response.end(JSON.stringify(body));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    atEnd(t, () => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    reviews = new ReviewServer(rights, ownToken, port, account);
    return reviews;
  }

  async answer(
    request: IncomingMessage,
  ): Promise<{ readonly code: number; readonly body: object }> {
    const { spec } = (await json(request)) as Review;
    if (this.isAway) return { code: 503, body: {} };
    if (request.headers.authorization !== `Bearer ${this.#ownToken}`)
      return { code: 401, body: {} };
    if (request.url?.endsWith('/tokenreviews') === true) {
      const username = this.users.get(spec.token ?? '');
      this.asked.push(`who is ${username ?? 'that'}`);
      const user = { username, uid: 'u', groups: ['system:authenticated'] };
      return {
        code: 201,
        body: { status: username === undefined ? {} : { authenticated: true, user } },
      };
    }
    const { user = '', resourceAttributes = {} } = spec;
    const { group, resource, subresource, namespace, name, verb } = resourceAttributes;
    this.asked.push(`may ${user} ${verb}`);
    const isOurs =
      [group, resource, subresource, namespace, name].join() ===
      'etl.router,etlrouterclusters,graphql,shop,main';
    const allowed = isOurs && this.#rights[user]?.includes(verb ?? '') === true;
    return { code: 201, body: { status: { allowed } } };
  }
}
