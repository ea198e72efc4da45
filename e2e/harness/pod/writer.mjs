// Runs in a pod: writes to a router cluster through its Service for as long as it lives, each write with an id of its
// own, and knows which of them were answered. Asked to finish, it reads all of them back.

import { readFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:http';
import { performance } from 'node:perf_hooks';
import process from 'node:process';

const { TARGET, RUN } = process.env;
const loopCount = 4;
const pauseMs = 400;
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
    let reached = 'name not resolved';
    call.on('socket', (socket) => {
      socket.once('lookup', (_error, address) => {
        reached = `by ${address}`;
      });
    });
    const late = setTimeout(() => call.destroy(new Error('no answer in time')), answerMs);
    // A member whose node is gone does not even refuse a connection.
    const deaf = setTimeout(() => {
      if (call.socket?.connecting !== false)
        call.destroy(new Error(`no connection in time, ${reached}`));
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
let isStopping = false;
/** When each loop was answered last, at first when it began. */
const lastMs = Array.from({ length: loopCount }, () => performance.now());
let phase = newPhase();

function newPhase() {
  return { answered: 0, failed: 0, longestGapMs: 0, errors: {} };
}

/** The gap of a loop goes on while it is not answered. */
function stats() {
  const openMs = isStopping ? 0 : performance.now() - Math.min(...lastMs);
  const { longestGapMs, gapEndedAt, ...rest } = phase;
  const gap = openMs > longestGapMs ? { longestGapMs: openMs } : { longestGapMs, gapEndedAt };
  return { ...rest, ...gap, longestGapMs: Math.round(gap.longestGapMs), total: answered.length };
}

function count(number, id) {
  const now = performance.now();
  const gapMs = now - lastMs[number];
  if (gapMs > phase.longestGapMs) {
    phase.longestGapMs = gapMs;
    phase.gapEndedAt = new Date().toISOString();
  }
  lastMs[number] = now;
  phase.answered++;
  answered.push(id);
}

/** Why a write failed, and how often, without a message for each. */
function countFailure(error) {
  phase.failed++;
  const { errors } = phase;
  const why = String(error.message).slice(0, 120);
  if (why in errors || Object.keys(errors).length < 50) errors[why] = (errors[why] ?? 0) + 1;
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
      count(number, id);
      await pause(pauseMs);
    } catch (error) {
      countFailure(error);
      agent.destroy();
      agent = newAgent();
      await pause(100);
    }
  }
  agent.destroy();
}

const loops = lastMs.map((_, number) => loop(number));

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
  const longest = phases.toSorted((a, b) => b.longestGapMs - a.longestGapMs)[0];
  const sum = (field) => phases.reduce((total, each) => total + each[field], 0);
  const errors = {};
  for (const each of phases)
    for (const [why, times] of Object.entries(each.errors))
      errors[why] = (errors[why] ?? 0) + times;
  return {
    ...longest,
    answered: sum('answered'),
    failed: sum('failed'),
    total: answered.length,
    errors,
    lostCount: lost.length,
    lost: lost.slice(0, 20),
  };
}

async function answer(url) {
  const { pathname } = new URL(url, 'http://writer');
  if (pathname === '/stats') return stats();
  if (pathname === '/finish') return finish();
  if (pathname !== '/phase') return undefined;
  const ended = stats();
  phases.push(ended);
  phase = newPhase();
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
