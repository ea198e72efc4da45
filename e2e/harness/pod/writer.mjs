// Runs in a pod: writes to a router cluster through its Service for as long as it lives, each write with an id of its
// own, and knows which of them were answered. Asked to finish, it reads all of them back.

import { readFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import process from 'node:process';

const { TARGET, RUN, LOOPS = '4', PAUSE_MS = '400' } = process.env;
const tokenFile = '/var/run/secrets/kubernetes.io/serviceaccount/token';
const answerMs = 3000;

/** One connection a loop, as a client has; a new one after every failure. */
const newAgent = () => new Agent({ keepAlive: true, maxSockets: 1 });

function ask(agent, query, variables) {
  const body = JSON.stringify({ query, variables });
  const headers = {
    authorization: `Bearer ${readFileSync(tokenFile, 'utf8')}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  };
  return new Promise((resolve, reject) => {
    const call = request(TARGET, { method: 'POST', agent, headers }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(parts).toString();
        if (response.statusCode !== 200)
          reject(new Error(`HTTP ${response.statusCode}: ${text.slice(0, 200)}`));
        else resolve(JSON.parse(text));
      });
    });
    const late = setTimeout(() => call.destroy(new Error('no answer in time')), answerMs);
    // A member whose node is gone does not even refuse a connection.
    const deaf = setTimeout(() => {
      if (call.socket?.connecting !== false) call.destroy(new Error('no connection in time'));
    }, 700);
    call.on('error', reject);
    call.on('close', () => {
      clearTimeout(late);
      clearTimeout(deaf);
    });
    call.end(body);
  });
}

const applying = `mutation ($manifest: String!) { applyObject(input: { manifest: $manifest }) { success message code } }`;
const reading = `query ($run: String!) { objects(kind: EtlSource, namespace: $run) { name } }`;

const answered = [];
const phases = [];
const errors = new Map();
let isStopping = false;
let lastMs;
let phase = newPhase('start');

function newPhase(name) {
  return { name, answered: 0, failed: 0, longestGapMs: 0, startedMs: performance.now() };
}

/** The gap goes on while nothing is answered. */
function stats() {
  const openMs = lastMs === undefined ? 0 : performance.now() - lastMs;
  const longestGapMs = Math.round(Math.max(phase.longestGapMs, isStopping ? 0 : openMs));
  return { ...phase, longestGapMs, total: answered.length, errors: Object.fromEntries(errors) };
}

function count(id) {
  const now = performance.now();
  if (lastMs !== undefined && now - lastMs > phase.longestGapMs) {
    phase.longestGapMs = now - lastMs;
    phase.gapEndedAt = new Date().toISOString();
  }
  lastMs = now;
  phase.answered++;
  answered.push(id);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function loop(number) {
  let agent = newAgent();
  for (let at = 0; !isStopping; at++) {
    const id = `w${number}-${at}`;
    const object = {
      apiVersion: 'etl.router/v1',
      kind: 'EtlSource',
      metadata: { name: id, namespace: RUN },
      spec: { file: { path: `/${id}.csv`, format: 'csv' } },
    };
    try {
      const { data, errors: faults } = await ask(agent, applying, {
        manifest: JSON.stringify(object),
      });
      if (faults !== undefined) throw new Error(faults[0].message);
      const { success, code, message } = data.applyObject;
      if (!success) throw new Error(`${code} ${message}`);
      count(id);
      await pause(Number(PAUSE_MS));
    } catch (error) {
      phase.failed++;
      const why = String(error.message).slice(0, 120);
      if (errors.size < 50 || errors.has(why)) errors.set(why, (errors.get(why) ?? 0) + 1);
      agent.destroy();
      agent = newAgent();
      await pause(100);
    }
  }
  agent.destroy();
}

const loops = Array.from({ length: Number(LOOPS) }, (_, number) => loop(number));

async function readBack() {
  for (let attempt = 0; ; attempt++) {
    const agent = newAgent();
    try {
      const { data, errors: faults } = await ask(agent, reading, { run: RUN });
      if (faults !== undefined) throw new Error(faults[0].message);
      return new Set(data.objects.map(({ name }) => name));
    } catch (error) {
      if (attempt === 20) throw error;
      await pause(500);
    } finally {
      agent.destroy();
    }
  }
}

async function finish() {
  phases.push(stats());
  isStopping = true;
  await Promise.all(loops);
  const there = await readBack();
  const lost = answered.filter((id) => !there.has(id));
  const sum = (field) => phases.reduce((total, each) => total + each[field], 0);
  return {
    name: 'all',
    answered: sum('answered'),
    failed: sum('failed'),
    longestGapMs: Math.max(...phases.map((each) => each.longestGapMs)),
    total: answered.length,
    errors: Object.fromEntries(errors),
    there: there.size,
    lostCount: lost.length,
    lost: lost.slice(0, 20),
    phases,
  };
}

async function answer(url) {
  const { pathname, searchParams } = new URL(url, 'http://writer');
  if (pathname === '/stats') return stats();
  if (pathname === '/finish') return finish();
  if (pathname !== '/phase') return undefined;
  const ended = stats();
  phases.push(ended);
  phase = newPhase(searchParams.get('name') ?? 'unnamed');
  return ended;
}

createServer((asked, response) => {
  answer(asked.url).then(
    (body) => {
      response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body ?? {}));
    },
    (error) => {
      response.writeHead(500);
      response.end(String(error.stack));
    },
  );
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
