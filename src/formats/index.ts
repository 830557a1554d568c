// Owns: bytes on disk: safetensors, MLX checkpoints, adapters, GGUF, tokenizer files, chat templates, lossless conversion, ZIP archives.
// Refuses: trust in any file; network, Python, native code.
// Called by: security, store, ember, engines, training.
export * from './adapters/index.ts';
export * from './convert/index.ts';
export * from './gguf/index.ts';
export * from './mlx/index.ts';
export * from './safetensors/index.ts';
export * from './template/index.ts';
export * from './tokenizer/index.ts';
export * from './zip/index.ts';
