// mTLS between members: TLS 1.3, one certificate authority for the cluster, and a certificate that names its member.
// The files are read again when they change (tls/certificates.ts), for new connections; those that are open stay.

import { createSecureContext, type PeerCertificate } from 'node:tls';
import type { Clock, Logger } from '@etl-router/core';
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { alternativeNames, Certificates, type TlsFiles } from '../../tls/certificates.ts';
import { RefusedPeer } from './identity.ts';

/** Plaintext is never a default. */
export type PeerSecurity = TlsFiles | { readonly insecure: true };

/** What a dial needs. */
export interface DialCredentials {
  readonly credentials: ChannelCredentials;
  /** Throws {@link RefusedPeer} unless the server's certificate names the member. */
  readonly checkName: (name: string, clusterId: string) => void;
}

/** The certificates of this member. */
export class PeerTls {
  readonly #certificates: Certificates | undefined;

  private constructor(certificates: Certificates | undefined) {
    this.#certificates = certificates;
  }

  /** Reads the files. Throws ETL_CONFIG_INVALID where they can not be used. */
  static async open(security: PeerSecurity, logger: Logger): Promise<PeerTls> {
    if ('insecure' in security) return new PeerTls(undefined);
    const what = 'certificates of the members';
    return new PeerTls(await Certificates.open({ files: security, what, logger }));
  }

  get isSecure(): boolean {
    return this.#certificates !== undefined;
  }

  /** Credentials to listen with; they follow the files until {@link close}. */
  listen(clock: Clock): ServerCredentials {
    return this.#certificates?.listen(clock) ?? ServerCredentials.createInsecure();
  }

  /** Credentials for one connection, from the files as they are now. */
  async dial(): Promise<DialCredentials> {
    if (this.#certificates === undefined) {
      return { credentials: ChannelCredentials.createInsecure(), checkName: () => undefined };
    }
    await this.refresh();
    let certificate: PeerCertificate | undefined;
    const credentials = ChannelCredentials.createFromSecureContext(
      createSecureContext(this.#certificates.context),
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
    if (this.#certificates !== undefined) checkCertificate(certificate, name, clusterId);
  }

  /** Reads the files if they changed; tells whether what is in force changed. */
  async refresh(): Promise<boolean> {
    return (await this.#certificates?.refresh()) ?? false;
  }

  close(): void {
    this.#certificates?.close();
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
export function isNamedBy(names: string, name: string, clusterId: string): boolean {
  const all = alternativeNames(names);
  if (all.includes(`DNS:${name}`)) return true;
  return all.some((entry) => {
    const match = /^URI:etl-router:\/\/([^/]+)\/(.+)$/.exec(entry);
    return match !== null && match[2] === name && (clusterId === '' || match[1] === clusterId);
  });
}
