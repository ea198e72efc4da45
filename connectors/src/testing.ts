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
export { type SourceContract, type SourceFixture, testSource } from './contract/source-contract.ts';
export {
  hostilePayloads,
  type TransformContract,
  testTransform,
} from './contract/transform-contract.ts';
