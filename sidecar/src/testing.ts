// Doubles for tests: real implementations in memory with dials for how they fail.

export { MemoryControlPlane } from './testing/memory-control-plane.ts';
export { MemoryDisk } from './testing/memory-directory.ts';
export {
  type MemoryRow,
  MemorySink,
  type MemorySinkKind,
  MemoryTable,
  type WriteFault,
} from './testing/memory-sink.ts';
export { type MemoryRecord, MemorySource, MemoryTopic } from './testing/memory-source.ts';
export { type MemoryMapping, MemoryTransform } from './testing/memory-transform.ts';
export {
  advanceUntil,
  type EdgeOptions,
  type TestPipelineOptions,
  testPipeline,
  testStages,
} from './testing/pipelines.ts';
