// mTLS between members: TLS 1.3, one certificate authority for the cluster, and a certificate that names its member.
// The files are read again when they change, for new connections; those that are open stay. A change that can not be
// used, such as a key that is written before its certificate, leaves what was read before in force.

import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type PeerCertificate, type SecureContextOptions } from 'node:tls';
import { type Cancel, type Clock, EtlError, type Logger } from '@etl-router/core';
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { RefusedPeer } from './identity.ts';

/** PEM files of a member. */
export interface TlsFiles {
  /** Who signs the members' certificates; several while it is replaced. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Plaintext is never a default. */
export type PeerSecurity = TlsFiles | { readonly insecure: true };

/** How often a listening member looks whether its files changed. */
const watchMs = 5000;

/** What a dial needs. */
export interface DialCredentials {
  readonly credentials: ChannelCredentials;
  /** Throws {@link RefusedPeer} unless the server's certificate names the member. */
  readonly checkName: (name: string, clusterId: string) => void;
}

/** The certificates of this member. */
export class PeerTls {
  readonly #files: TlsFiles | undefined;
  readonly #logger: Logger;
  #seen = '';
  #onChange: () => void = () => undefined;
  #context: SecureContextOptions = {};
  #cancelWatch: Cancel | undefined;

  private constructor(files: TlsFiles | undefined, logger: Logger) {
    this.#files = files;
    this.#logger = logger;
  }

  /** Reads the files. Throws ETL_CONFIG_INVALID where they can not be used. */
  static async open(security: PeerSecurity, logger: Logger): Promise<PeerTls> {
    if ('insecure' in security) return new PeerTls(undefined, logger);
    const tls = new PeerTls(security, logger);
    await tls.#read(security);
    return tls;
  }

  get isSecure(): boolean {
    return this.#files !== undefined;
  }

  /** Credentials to listen with; they follow the files until {@link close}. */
  listen(clock: Clock): ServerCredentials {
    if (this.#files === undefined) return ServerCredentials.createInsecure();
    const credentials = new MemberServerCredentials(this.#context);
    this.#onChange = () => credentials.replace(this.#context);
    const watch = (): void => {
      this.#cancelWatch = clock.after(watchMs, () => {
        void this.refresh().then(() => {
          if (this.#cancelWatch !== undefined) watch();
        });
      });
    };
    watch();
    return credentials;
  }

  /** Credentials for one connection, from the files as they are now. */
  async dial(): Promise<DialCredentials> {
    if (this.#files === undefined) {
      return { credentials: ChannelCredentials.createInsecure(), checkName: () => undefined };
    }
    await this.refresh();
    let certificate: PeerCertificate | undefined;
    const credentials = ChannelCredentials.createFromSecureContext(
      createSecureContext(this.#context),
      {
        // Members are reached at addresses that change; what must fit is the name, see checkName().
        checkServerIdentity: (_host, shown) => {
          certificate = shown;
          return undefined;
        },
      },
    );
    return {
      credentials,
      checkName: (name, clusterId) => checkCertificate(certificate, name, clusterId),
    };
  }

  /** Throws {@link RefusedPeer} unless the caller's certificate names the member. */
  checkCaller(certificate: PeerCertificate | undefined, name: string, clusterId: string): void {
    if (this.#files !== undefined) checkCertificate(certificate, name, clusterId);
  }

  /** Reads the files if they changed; tells whether what is in force changed. */
  async refresh(): Promise<boolean> {
    if (this.#files === undefined) return false;
    try {
      const changed = await this.#read(this.#files);
      if (changed) this.#onChange();
      return changed;
    } catch (error) {
      this.#logger.warn(
        { err: error },
        'the certificates can not be used; the last ones stay in force',
      );
      return false;
    }
  }

  close(): void {
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
  }

  async #read({ caFile, certFile, keyFile }: TlsFiles): Promise<boolean> {
    const paths = [caFile, certFile, keyFile];
    try {
      const stats = await Promise.all(paths.map((path) => stat(path)));
      const seen = stats.map(({ mtimeMs, size, ino }) => `${mtimeMs}/${size}/${ino}`).join(' ');
      if (seen === this.#seen) return false;
      if (((stats[2]?.mode ?? 0) & othersMayWrite) !== 0)
        throw new Error(`anyone may write ${keyFile}; take that right away (chmod o-w)`);
      const [ca, cert, key] = await Promise.all(paths.map((path) => readFile(path)));
      const context = { ca, cert, key, minVersion: 'TLSv1.3' } as SecureContextOptions;
      // Fails here, not in a handshake, where key and certificate do not belong together.
      createSecureContext(context);
      this.#context = context;
      this.#seen = seen;
      return true;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new EtlError(
        'ETL_CONFIG_INVALID',
        `certificates of the members (${paths.join(', ')}): ${why}`,
        { cause },
      );
    }
  }
}

const othersMayWrite = 0o002;

/** grpc-js sets a new context for the connections that come. */
class MemberServerCredentials extends ServerCredentials {
  constructor(context: SecureContextOptions) {
    super({ requestCert: true, rejectUnauthorized: true }, context);
  }

  replace(context: SecureContextOptions): void {
    this.updateSecureContextOptions(context);
  }

  _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** A certificate names a member as `DNS:<name>`, or as `URI:etl-router://<cluster id>/<name>`. */
function checkCertificate(
  certificate: PeerCertificate | undefined,
  name: string,
  clusterId: string,
): void {
  if (isNamedBy(certificate?.subjectaltname ?? '', name, clusterId)) return;
  throw new RefusedPeer(
    'certificate',
    `the certificate of member ${name} does not name it; its subject alternative names need DNS:${name} or URI:etl-router://${clusterId || '<cluster id>'}/${name}`,
  );
}

/** Whether subject alternative names, as Node words them, name a member; a cluster id of '' is any. */
export function isNamedBy(alternativeNames: string, name: string, clusterId: string): boolean {
  const names = namesIn(alternativeNames);
  if (names.includes(`DNS:${name}`)) return true;
  return names.some((entry) => {
    const match = /^URI:etl-router:\/\/([^/]+)\/(.+)$/.exec(entry);
    return match !== null && match[2] === name && (clusterId === '' || match[1] === clusterId);
  });
}

/** Node quotes a name that holds a comma, so that none can pretend to be two. */
function namesIn(text: string): readonly string[] {
  return text.match(/(?:[^",\s]|"(?:[^"\\]|\\.)*")+/g) ?? [];
}
