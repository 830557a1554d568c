/** Strict safetensors: header parser, streaming reader, writer, shards and their index, 16-bit floats. */
export * from './dtype.ts';
export type { TensorEntry } from './entry-reader.ts';
export * from './float-codec.ts';
export { openSafetensors, type ReadOptions, type SafetensorsFile } from './open.ts';
export { type HeaderResult, parseSafetensorsHeader, type SafetensorsHeader } from './parse-header.ts';
export { isShardName, openShards, type ShardedTensorEntry, type Shards } from './shards.ts';
export { type TensorSource, writeSafetensors } from './write.ts';
export { type ShardOptions, writeShardedCheckpoint } from './write-checkpoint.ts';
