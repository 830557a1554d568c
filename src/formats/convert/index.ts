// Owns: conversion between GGUF and MLX with the same numbers: plan, run, verify, report.
// Refuses: network, trust in a source that was not verified, guesses about names or settings.
// Called by: store (convert), engines before the first load of a GGUF model, benchmarks.
export { configToGguf } from './config-to-gguf.ts';
export { fillDirectory } from './directory.ts';
export { type ExportOptions, exportGguf } from './export-gguf.ts';
export { type ImportOptions, importGguf } from './import-gguf.ts';
export { type Family, modelTypeOfGguf, permutedHeads, rowOrder, splitLeaf, toGgufModule, toMlxModule } from './names.ts';
export { CONVERTER_VERSION, type ConversionReport, type TensorReport } from './report.ts';
export { needsRewrite, type QuantiseBits, type RewriteOptions, type RewriteReport, rewriteCheckpoint } from './rewrite-checkpoint.ts';
