// A certificate, its key and the authorities that are believed, from PEM files that are read again when they change.
// Connections that are open stay. A change that can not be used, such as a key that is written before its certificate,
// leaves what was read before in force. Always TLS 1.3; what a file holds is never part of an error or of a log.

import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { type Cancel, type Clock, EtlError, type Logger } from '@etl-router/core';
import { ServerCredentials } from '@grpc/grpc-js';

/** PEM files of one end of a connection. */
export interface TlsFiles {
  /** Who signs the certificates of the other end; several while one is replaced. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** How often a listener looks whether its files changed. */
const watchMs = 5000;

const othersMayWrite = 0o002;

export interface CertificatesOptions {
  readonly files: TlsFiles;
  /** Whose they are, for messages, as in `certificates of the members`. */
  readonly what: string;
  readonly logger: Logger;
}

/** What the files hold, as it can be used. */
export class Certificates {
  readonly #options: CertificatesOptions;
  #seen = '';
  #context: SecureContextOptions = {};
  #onChange: () => void = () => undefined;
  #cancelWatch: Cancel | undefined;

  private constructor(options: CertificatesOptions) {
    this.#options = options;
  }

  /** Reads the files. Throws ETL_CONFIG_INVALID where they can not be used. */
  static async open(options: CertificatesOptions): Promise<Certificates> {
    const certificates = new Certificates(options);
    await certificates.#read();
    return certificates;
  }

  /** What is in force. */
  get context(): SecureContextOptions {
    return this.#context;
  }

  /** Credentials to listen with, which demand a certificate; they follow the files until {@link close}. */
  listen(clock: Clock): ServerCredentials {
    const credentials = new MutualCredentials(this.#context);
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

  /** Reads the files if they changed; tells whether what is in force changed. */
  async refresh(): Promise<boolean> {
    try {
      const changed = await this.#read();
      if (changed) this.#onChange();
      return changed;
    } catch (error) {
      const { logger, what } = this.#options;
      logger.warn({ err: error }, `${what} can not be used; the last ones stay in force`);
      return false;
    }
  }

  close(): void {
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
  }

  async #read(): Promise<boolean> {
    const { files, what } = this.#options;
    const { caFile, certFile, keyFile } = files;
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
      throw new EtlError('ETL_CONFIG_INVALID', `${what} (${paths.join(', ')}): ${why}`, { cause });
    }
  }
}

/** grpc-js sets a new context for the connections that come. */
class MutualCredentials extends ServerCredentials {
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

/**
 * The single names of subject alternative names as Node words them, such as `DNS:main-1`. Node quotes a name that holds
 * a comma, so that none can pretend to be two.
 */
export function alternativeNames(text: string): readonly string[] {
  return text.match(/(?:[^",\s]|"(?:[^"\\]|\\.)*")+/g) ?? [];
}
