// The Python service of the examples, for real: its code is generated from proto/ and it stands behind the sidecar's own
// adapters. The first run makes a virtual environment in .cache/ and needs Python 3 with venv.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { GrpcSink, GrpcTransform } from '@etl-router/sidecar';
import { batchOf, batchOfPayloads, lane, never, targetOf, valuesOf } from './fixture.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = join(root, 'examples/services/python');
const scratch = mkdtempSync(join(tmpdir(), 'etl-python-'));
const sinkFile = join(scratch, 'records.jsonl');
let service: ChildProcess;
let address: string;

/** The interpreter of an environment with what requirements.txt asks for. */
function interpreter(): string {
  const environment = join(root, '.cache/python-services');
  const stamp = join(environment, 'requirements.txt');
  const python = join(environment, 'bin/python');
  const requirements = join(folder, 'requirements.txt');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === readFileSync(requirements, 'utf8'))
    return python;
  rmSync(environment, { recursive: true, force: true });
  mkdirSync(environment, { recursive: true });
  execFileSync('python3', ['-m', 'venv', environment]);
  execFileSync(python, ['-m', 'pip', 'install', '--quiet', '--requirement', requirements]);
  cpSync(requirements, stamp);
  return python;
}

function generate(python: string): void {
  const definitions = globSync('etl/{record,stage,transform,sink}/v1/*.proto', {
    cwd: join(root, 'proto'),
  });
  const out = [`--python_out=${scratch}`, `--grpc_python_out=${scratch}`];
  execFileSync(python, ['-m', 'grpc_tools.protoc', '-I.', ...out, ...definitions], {
    cwd: join(root, 'proto'),
  });
}

before(async () => {
  const python = interpreter();
  generate(python);
  service = spawn(python, [join(folder, 'service.py')], {
    env: { ...process.env, PYTHONPATH: scratch, PORT: '0', SINK_FILE: sinkFile },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.ok(service.stdout !== null);
  const [line] = (await once(service.stdout, 'data')) as [Buffer];
  address = /127\.0\.0\.1:\d+/.exec(line.toString())?.[0] ?? '';
});

after(async () => {
  if (service.exitCode === null) {
    service.kill('SIGTERM');
    await once(service, 'exit');
  }
  rmSync(scratch, { recursive: true });
});

test('a transform in Python works from the definitions alone', async (t) => {
  const stage = await GrpcTransform.connect(targetOf(address));
  t.after(() => stage.close());
  assert.deepEqual(stage.capabilities, { deterministic: true });
  const payloads = ['{"card":"4111111111111111","n":1}', '{"n":2}', 'not json'];
  const batch = batchOfPayloads(payloads.map((text) => Buffer.from(text)));
  const result = await stage.process(batch, never);
  assert.deepEqual(valuesOf(result.batch), [{ card: '************1111', n: 1 }, { n: 2 }]);
  assert.equal(result.batch.id(0), batch.id(0));
  assert.deepEqual(
    result.failures.map(({ index, code, retryable }) => ({ index, code, retryable })),
    [{ index: 2, code: 'NOT_AN_OBJECT', retryable: false }],
  );
});

test('a sink in Python keeps what it answered for, and refuses a stale epoch', async (t) => {
  const sink = await GrpcSink.connect(targetOf(address));
  t.after(() => sink.close());
  await assert.rejects(sink.write(batchOf(['early']), never), {
    code: 'ETL_UNAVAILABLE',
    retryable: true,
  });
  await sink.openLane(lane, 1);
  await sink.write(batchOf(['a', 'b']), never);
  assert.equal(readFileSync(sinkFile, 'utf8'), '"a"\n"b"\n');
  await sink.openLane(lane, 2);
  await assert.rejects(sink.write(batchOf(['late']), never), { code: 'ETL_FENCED' });
  await sink.complete();
});
