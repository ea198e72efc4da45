// For tests of connectors: the contracts every connector keeps.

export { type SinkContract, type SinkFixture, testSink } from './contract/sink-contract.ts';
export {
  judge,
  type TestPayload,
  testBatch,
  testContext,
  testLane,
  testPayload,
  type Verdict,
} from './contract/sink-harness.ts';
