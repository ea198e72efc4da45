import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { createSource } from '@etl-router/connectors';
import { testSource } from '@etl-router/connectors/testing';

/** What the page of the generator says its payloads are. */
function payload(lane: string, seq: number, seed = 1): string {
  const sum = createHash('sha256').update(`${seed}/${lane}/${seq}`).digest('hex').slice(0, 16);
  return `{"lane":"${lane}","seq":${seq},"sum":"${sum}","large":${9_007_199_254_740_993n + BigInt(seq)}}`;
}

for (const { partitions, count, seed } of [
  { partitions: 1, count: 40, seed: 1 },
  { partitions: 3, count: 17, seed: 9 },
  { partitions: 2, count: 0, seed: 1 },
]) {
  testSource({
    name: `generator: ${partitions} of ${count}`,
    capabilities: { replayable: true, ordered: 'partition', bounded: true },
    fixture: async () => ({
      baseDirectory: tmpdir(),
      create: () =>
        createSource({ type: 'generator', config: { partitions, count, seed, keys: 3 } }, 'test'),
      payloads: Object.fromEntries(
        Array.from({ length: partitions }, (_, lane) => [
          String(lane),
          Array.from({ length: count }, (_, seq) => payload(String(lane), seq, seed)),
        ]),
      ),
    }),
  });
}
