/** What a low-rank adapter says, whatever format it came in: one table of modules (docs/spec/formats.md §5). */

export type AdapterModuleKind = 'linear' | 'embedding' | 'experts';

/**
 * W' = W + scale·B·A, with W as MLX keeps it: linear [outputs, inputs], embedding [vocabulary, width] (outputs = vocabulary, inputs = width),
 * experts [experts, outputs, inputs]. With `m`, each row of W' is then scaled to the length m (DoRA).
 */
export interface AdapterModule {
  /** Module path of the base without a `language_model.` prefix. */
  readonly path: string;
  readonly kind: AdapterModuleKind;
  readonly rank: number;
  /** Multiplies as it is. */
  readonly scale: number;
  readonly inputs: number;
  readonly outputs: number;
  /** 1 unless `kind` is experts. */
  readonly experts: number;
  /** [experts, rank, inputs], row-major. */
  readonly a: Float32Array;
  /** [experts, outputs, rank], row-major. */
  readonly b: Float32Array;
  /** [outputs]; null: plain LoRA. */
  readonly m: Float32Array | null;
}

/** Which modules mlx-lm wraps (`num_layers`, `lora_parameters.keys`). */
export interface MlxSelection {
  /** Last blocks; 0, negative, or more than there are: all. */
  readonly numLayers: number;
  /** Paths in a block, or of the whole model; null: every linear, expert and embedding module of the blocks. */
  readonly keys: readonly string[] | null;
}

export type AdapterFormat = 'mlx-lm' | 'mlx-vlm' | 'peft' | 'gguf';

export interface LowRankAdapter {
  readonly kind: 'lora' | 'dora';
  readonly format: AdapterFormat;
  /** By path, sorted. */
  readonly modules: ReadonlyMap<string, AdapterModule>;
  /** mlx-lm and mlx-vlm: what their loader wraps; null: the modules of the table. */
  readonly selection: MlxSelection | null;
  /** The base as the adapter's files call it; null where they do not. */
  readonly baseModel: string | null;
  /** Of the tensor file. */
  readonly fileBytes: number;
}

/** A full fine-tune: plain weights that replace those of the base. It is recognised, but it is no adapter for any engine. */
export interface FullFineTune {
  readonly kind: 'full';
  readonly format: 'mlx-lm' | 'mlx-vlm';
  readonly tensors: readonly string[];
  readonly baseModel: string | null;
  readonly fileBytes: number;
}

export type Adapter = LowRankAdapter | FullFineTune;

/** Largest rank that is believed. */
export const MAX_ADAPTER_RANK = 4096;

/** mlx and PEFT wrap embeddings in another way than linear layers, and only the module's name tells them apart. */
export const isEmbeddingPath = (path: string): boolean => /(?:^|\.)(?:embed_tokens|wte|word_embeddings|tok_embeddings|embedding|embeddings)$/.test(path);

/** Multimodal families keep their text model under a prefix, on one side or the other of `model`. */
export const withoutLanguagePrefix = (path: string): string => path.replace(/^language_model\./, '').replace(/^model\.language_model\./, 'model.');

/** [rows, columns] → [columns, rows]. */
export function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) for (let column = 0, at = row * columns; column < columns; column++, at++) result[column * rows + row] = values[at]!;
  return result;
}

export const sortedModules = (modules: Iterable<AdapterModule>): ReadonlyMap<string, AdapterModule> =>
  new Map([...modules].toSorted((x, y) => (x.path < y.path ? -1 : 1)).map((module) => [module.path, module]));
