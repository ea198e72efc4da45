// What tests, the simulator and the benchmarks use beside the interface: the core of Raft by itself, and fakes that are
// real implementations with dials for failure.

export { MemoryStore } from './applied/memory-store.ts';
export { configurationOf } from './raft/configuration.ts';
export type { Message } from './raft/messages.ts';
export { Raft } from './raft/raft.ts';
export type { Entry, LogRecord } from './storage/log-types.ts';
export { LogView } from './storage/log-view.ts';
export {
  type DiskFault,
  type DiskOperation,
  type DiskOperationKind,
  MemoryDisk,
  type MemoryDiskOptions,
} from './storage/memory-disk.ts';
