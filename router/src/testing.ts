// Fakes that other tests and the simulator use: real implementations with dials for failure.

export { MemoryStore } from './applied/memory-store.ts';
export {
  type DiskFault,
  type DiskOperation,
  type DiskOperationKind,
  MemoryDisk,
  type MemoryDiskOptions,
} from './storage/memory-disk.ts';
