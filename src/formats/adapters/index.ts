// Owns: low-rank adapters on disk: mlx-lm, mlx-vlm, PEFT and GGUF read into one table, checked against a base, fused and written.
// Refuses: trust in any file; where adapters live, who may use them.
// Called by: ember and engines (loading), later training and store (import, fuse, export).

export { readAdapterConfig } from './adapter-config.ts';
export {
  type Adapter,
  type AdapterFormat,
  type AdapterModule,
  type AdapterModuleKind,
  type FullFineTune,
  type LowRankAdapter,
  type MlxSelection,
  sortedModules,
  transpose,
} from './adapter-table.ts';
export { type BaseModule, checkAdapter, wrappedModules } from './check-adapter.ts';
export { fuseRows } from './fuse.ts';
export { exportGgufLora, type GgufLoraOptions, readGgufLora } from './gguf-lora.ts';
export { readAdapter } from './read-adapter.ts';
export { type WriteMlxOptions, writeMlxAdapter } from './write-mlx.ts';
export { type WritePeftOptions, writePeftAdapter } from './write-peft.ts';
