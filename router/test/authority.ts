// A certificate authority made for one test, by openssl.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { TlsFiles } from '../src/tls/certificates.ts';

const run = promisify(execFile);
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

export class Authority {
  readonly caFile: string;
  readonly #directory: string;
  readonly #name: string;

  private constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
    this.caFile = `${directory}/${name}.pem`;
  }

  static async create(directory: string, name = 'ca'): Promise<Authority> {
    const authority = new Authority(directory, name);
    const out = ['-keyout', `${directory}/${name}.key`, '-out', authority.caFile];
    await run('openssl', ['req', '-x509', ...newKey, ...out, '-days', '2', '-subj', `/CN=${name}`]);
    return authority;
  }

  /** Files of somebody with these subject alternative names. */
  async issue(file: string, alternativeNames: string): Promise<TlsFiles> {
    const path = `${this.#directory}/${file}`;
    const [certFile, keyFile] = [`${path}.pem`, `${path}.key`];
    const ca = ['-CA', this.caFile, '-CAkey', `${this.#directory}/${this.#name}.key`];
    const names = ['-addext', `subjectAltName=${alternativeNames}`];
    const out = ['-keyout', keyFile, '-out', certFile];
    const subject = ['-days', '2', '-subj', `/CN=${file}`];
    await run('openssl', ['req', '-x509', ...newKey, ...ca, ...names, ...out, ...subject]);
    return { caFile: this.caFile, certFile, keyFile };
  }
}
