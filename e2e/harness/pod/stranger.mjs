// Runs in a pod, with the token of its ServiceAccount where it has one: sends every request that it is given as a web page
// of somebody else would, and says how each was answered; then knocks at the gRPC port without a certificate.

import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import process from 'node:process';
import { connect } from 'node:tls';

const { HOST, REQUESTS } = process.env;
const tokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/token';
const answerMs = 10_000;

/** What comes from a page and, where there is one, the token; a preflight of a browser has none. */
function headersFor(method) {
  const origin = { origin: 'https://evil.example' };
  if (method === 'OPTIONS')
    return {
      ...origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type',
    };
  if (!existsSync(tokenFile)) return origin;
  return { ...origin, authorization: `Bearer ${readFileSync(tokenFile, 'utf8')}` };
}

function send({ method, path, type, body = '' }) {
  const content = type === undefined ? {} : { 'content-type': type };
  const options = { method, headers: { ...headersFor(method), ...content }, timeout: answerMs };
  return new Promise((resolve, reject) => {
    const call = request(`http://${HOST}:8080${path}`, options, (response) => {
      response.resume();
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          allowed: Object.keys(response.headers).filter((name) =>
            name.startsWith('access-control'),
          ),
        }),
      );
    });
    call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer in time`)));
    call.on('error', reject);
    call.end(body);
  });
}

/** How far a client gets that shows no certificate: `refused` and by what, or `answered`. */
function knock() {
  return new Promise((resolve) => {
    const socket = connect({
      host: HOST,
      port: 50051,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
    });
    socket.on('secureConnect', () =>
      socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'),
    );
    socket.on('data', () => resolve({ outcome: 'answered' }));
    socket.on('error', (error) =>
      resolve({ outcome: 'refused', why: error.code ?? error.message }),
    );
    socket.on('close', () => resolve({ outcome: 'refused', why: 'closed' }));
    setTimeout(() => resolve({ outcome: 'silent' }), answerMs).unref();
  });
}

const answers = {};
for (const [name, asked] of Object.entries(JSON.parse(REQUESTS))) answers[name] = await send(asked);
process.stdout.write(`${JSON.stringify({ answers, grpc: await knock() })}\n`);
process.exit(0);
