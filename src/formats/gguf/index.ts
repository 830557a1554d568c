// Owns: GGUF files: strict header parse, tensor reads, block codecs, writer.
// Refuses: what the numbers mean to a model; names of MLX tensors (convert).
// Called by: convert, tokenizer, and the intake gate of security.
export * from './block-types.ts';
export * from './decode-blocks.ts';
export * from './encode-blocks.ts';
export {
  type GgufElementType,
  type GgufHeader,
  type GgufScalar,
  type GgufTensor,
  type GgufValue,
  type GgufValueType,
  ggufArray,
  ggufBoolean,
  ggufNumber,
  ggufNumbers,
  ggufString,
  ggufStrings,
} from './header.ts';
export { type GgufFile, openGguf } from './open-gguf.ts';
export { ggufPartPaths, openGgufModel } from './open-gguf-parts.ts';
export * from './parse-header.ts';
export * from './regroup.ts';
export * from './write-gguf.ts';
