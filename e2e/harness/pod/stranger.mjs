// Runs in a pod without a token, or with one: sends every document it is given and says how each was answered, then knocks
// at the gRPC port without a certificate.

import { request } from 'node:http';
import process from 'node:process';
import { connect } from 'node:tls';

const { HOST, DOCUMENTS, TOKEN } = process.env;

function send(query) {
  const headers = { 'content-type': 'application/json' };
  if (TOKEN !== undefined) headers.authorization = `Bearer ${TOKEN}`;
  return new Promise((resolve, reject) => {
    const call = request(`http://${HOST}:8080/graphql`, { method: 'POST', headers }, (response) => {
      response.resume();
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers }));
    });
    call.on('error', reject);
    call.end(JSON.stringify({ query }));
  });
}

/** How far a client gets that shows no certificate: `refused` and why, or `answered`. */
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
    setTimeout(() => resolve({ outcome: 'silent' }), 5000).unref();
  });
}

const answers = {};
for (const [name, query] of Object.entries(JSON.parse(DOCUMENTS))) {
  const { status, headers } = await send(query);
  answers[name] = { status, allowsOrigin: headers['access-control-allow-origin'] ?? null };
}
process.stdout.write(`${JSON.stringify({ answers, grpc: await knock() })}\n`);
process.exit(0);
