/** MLX checkpoints: config, quantisation block, packed codes, quantise and dequantise. */
export { type Checkpoint, openCheckpoint } from './checkpoint.ts';
export { readModelConfig } from './config.ts';
export { dequantise, type QuantisedRows } from './dequantise.ts';
export { packCodes, toWords, unpackCodes } from './packing.ts';
export { type Quantised, type QuantisedWords, quantise, quantiseWords } from './quantise.ts';
export { type Quantization, type QuantizationMode, type QuantizationPlan, readQuantization } from './quantization.ts';
export { type ForeignModules, foreignModules } from './rewrite-foreign.ts';
export { E4M3_VALUES, E8M0_VALUES, FP4_VALUES, numberToE4m3, numberToFp4 } from './small-floats.ts';
