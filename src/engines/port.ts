import type { z } from 'zod';
import type { ChatMessage, GenerateEvent, GenerateRequest } from '../contract/index.ts';
import type { FeatureVerdict, ModelFacts } from '../core/index.ts';
import type { ProcessChannel, ProcessSpec } from '../supervisor/index.ts';

/** The engine port (docs/spec/engines.md §1). Nothing above this file knows which engine answers. */

export interface EngineProbe {
  readonly available: boolean;
  readonly version: string;
  readonly device: string;
  readonly devices: readonly string[];
  readonly reason?: string;
  readonly fix?: string;
}

export interface Capabilities {
  readonly tools: boolean;
  readonly forcedToolChoice: boolean;
  readonly jsonSchema: boolean;
  readonly grammar: boolean;
  readonly logitBias: boolean;
  readonly seed: boolean;
  readonly maxLogprobs: number;
  readonly maxChoices: number;
  readonly images: boolean;
  readonly audio: boolean;
  readonly embeddings: boolean;
  readonly rerank: boolean;
  readonly transcription: boolean;
  readonly translation: boolean;
  readonly adaptersPerRequest: boolean;
  readonly batching: boolean;
  readonly prefixCache: 'exact' | 'checkpoint' | 'none';
  readonly reasoning: boolean;
  readonly contextTokens: number;
}

/** Memory that a load is charged with, in bytes (docs/spec/engines.md §6). */
export interface MemoryEstimate {
  readonly weightsBytes: number;
  readonly kvBytesPerToken: number;
  /** Of an engine whose cache grows: room of each sequence is taken for so many tokens at a time. Absent: for each as it comes. */
  readonly kvStepTokens?: number;
  readonly kvPoolBytes: number;
  readonly computeBytes: number;
  readonly processBytes: number;
}

/** A model whose files an engine can open: `directory` is an MLX checkpoint (a GGUF file was imported into one). */
export interface PreparedModel {
  readonly facts: ModelFacts;
  readonly directory: string;
  /** What `directory` stands for, where that is another one: messages name this place. */
  readonly sourceDirectory?: string;
  /** This call wrote `sourceDirectory` from the model's files; absent or false: an earlier one did, or it is the model itself. */
  readonly converted?: boolean;
}

export interface LoadReport {
  readonly version: string;
  readonly device: string;
  readonly contextTokens: number;
  readonly modelContextTokens: number;
  readonly parallelSequences: number;
  readonly ranks: number;
  /** Form of the cells of the KV cache. */
  readonly kvType?: string | undefined;
  readonly measured: { readonly weightsBytes: number; readonly kvBytes: number; readonly computeBytes: number; readonly processBytes: number };
  readonly loadMs: number;
  /** What the chat template can do; absent: as the engine says. */
  readonly tools?: boolean | undefined;
  readonly reasoning?: boolean | undefined;
  /** What the numbers of the weights are, where they are not those of the source. */
  readonly weightsNote?: string | undefined;
  /** What its user should know, such as a chat template that cannot be used. */
  readonly warnings?: readonly string[] | undefined;
}

export interface SessionStats {
  readonly memory: LoadReport['measured'];
  readonly running: number;
  readonly waiting: number;
  readonly promptTokensComputed: number;
  readonly promptTokensCached: number;
  readonly generatedTokens: number;
  readonly steps: number;
  /** How many steps ran with n decoding sequences: index n. */
  readonly batchSizes: readonly number[];
  /** Tokens that were guessed, and those of them that were right (docs/spec/engines.md §2.6). */
  readonly draftedTokens: number;
  readonly acceptedTokens: number;
  readonly lastStepMs: number;
  readonly lastProgressAtMs: number;
  /** Memory of the adapters that are loaded. */
  readonly adapterBytes?: number | undefined;
  /** Of the key-value cache of full attention, in tokens: all, those of running requests, those that hold prefixes alone. */
  readonly cache?: { readonly totalCells: number; readonly heldCells: number; readonly prefixCells: number } | undefined;
}

/** A low-rank adapter that is held beside the base (docs/spec/engines.md §2.7). */
export interface AdapterReport {
  readonly name: string;
  readonly kind: 'lora' | 'dora';
  /** Largest of its modules. */
  readonly rank: number;
  readonly modules: number;
  readonly fileBytes: number;
  /** What it takes beside the base, over all compute threads. */
  readonly memoryBytes: number;
  readonly loadMs: number;
}

export interface AdapterSet {
  /**
   * Loads an adapter while requests run. `directory` is below the engine's directory of adapters and named from there. Throws `adapter_*` and
   * `st_*` for what is wrong with it, adapter_limit, insufficient_memory; the model is unharmed.
   */
  load(name: string, directory: string): Promise<AdapterReport>;
  /** New requests no longer find it at once; resolves when the last running one has ended. Throws adapter_not_found. */
  unload(name: string): Promise<void>;
  list(): Promise<readonly AdapterReport[]>;
}

export interface EmbedOptions {
  /** Absent: what the model's files say. */
  readonly pooling?: 'cls' | 'mean' | 'last';
  /** Name of a text of the model's files to be put in front of each input, such as `query` or `document`; ignored by models without it. */
  readonly prompt?: string;
  /** Inputs that are too long are cut, and named in the answer; otherwise they are refused. */
  readonly truncate?: boolean;
  readonly signal?: AbortSignal;
}

export interface Embeddings {
  readonly vectors: readonly Float32Array[];
  /** Tokens of each input, with the control tokens around it. */
  readonly promptTokens: readonly number[];
  /** Which inputs were cut. */
  readonly truncated?: readonly number[];
}

/** Speech to be written down. */
export interface TranscriptionWork {
  /** `translate`: into English. */
  readonly task: 'transcribe' | 'translate';
  /** A whole file that was checked. */
  readonly bytes: Uint8Array;
  readonly mediaType: 'audio/wav' | 'audio/mpeg' | 'audio/flac' | 'audio/ogg';
  /** Such as `en`; absent: found out. */
  readonly language?: string;
  /** Words that stand before, for names and style. */
  readonly prompt?: string;
  readonly temperature: number;
}

export interface Transcription {
  readonly text: string;
  readonly language: string;
  /** Of the audio. */
  readonly seconds: number;
  readonly segments: readonly { readonly startSeconds: number; readonly endSeconds: number; readonly text: string }[];
}

/** A conversation as a request has it: its tokens are the prompt of that request. */
export type PromptSource = Required<Pick<GenerateRequest, 'messages'>> & Pick<GenerateRequest, 'templateArguments' | 'tools' | 'reasoning'>;

export interface EngineSession extends AsyncDisposable {
  load(options: unknown, onProgress: (doneBytes: number, totalBytes: number) => void, signal: AbortSignal): Promise<LoadReport>;
  /** start, prefill-progress*, deltas, finish, usage, end; or one error and then nothing. Aborting the signal frees the sequence. */
  generate(request: GenerateRequest, signal: AbortSignal): AsyncIterable<GenerateEvent>;
  /** Closes the reasoning parts of a request that are open, so that its answer follows; false when none is. Absent where the engine cannot. */
  endReasoning?(requestId: string): Promise<boolean>;
  tokenize(input: { readonly text: string; readonly addSpecial: boolean; readonly parseSpecial: boolean } | PromptSource): Promise<readonly number[]>;
  detokenize(tokens: readonly number[]): Promise<string>;
  applyTemplate(messages: readonly ChatMessage[], templateArguments?: Readonly<Record<string, unknown>>): Promise<string>;
  /** One vector of length 1 for each input. Throws not_an_embedder, context_length_exceeded. */
  embed(inputs: readonly (string | readonly number[])[], options?: EmbedOptions): Promise<Embeddings>;
  /** How well each document answers the query; the scale is the model's own. */
  rerank(query: string, documents: readonly string[], signal?: AbortSignal): Promise<{ readonly scores: readonly number[]; readonly promptTokens: number }>;
  /** log p(token i + 1 | tokens 0 … i), for all of the at least two tokens but the last, in one pass. */
  score(tokens: readonly number[], signal?: AbortSignal): Promise<Float32Array>;
  /** Absent where the engine has no model of speech. */
  transcribe?(work: TranscriptionWork, signal: AbortSignal): Promise<Transcription>;
  readonly adapters: AdapterSet;
  setThreads(threads: number): Promise<void>;
  health(): Promise<{ readonly ok: boolean }>;
  stats(): Promise<SessionStats>;
  clearCache(): Promise<void>;
  /** Finishes or cancels its sequences, then ends the child. */
  close(): Promise<void>;
  /** Settles when the session can no longer answer, with the reason. */
  readonly closed: Promise<{ readonly reason: string }>;
}

export type Feature = 'text' | 'chat' | 'vision' | 'audio' | 'embeddings' | 'rerank';

/** Facts of models that are loaded beside another, by the option of the engine that names each. */
export type Companions = Readonly<Record<string, ModelFacts>>;

export interface Engine {
  /** Lower-case word: `ember`, `mlx`, `remote`. */
  readonly id: string;
  /** Why it cannot run on this machine now, known without a probe; null or absent: it can. */
  unavailable?(): string | null;
  probe(signal: AbortSignal): Promise<EngineProbe>;
  /** With the options of a load, a verdict may carry a note about what they change. */
  canRun(facts: ModelFacts, options?: unknown): Readonly<Record<Feature, FeatureVerdict>>;
  capabilities(facts: ModelFacts, options: unknown): Capabilities;
  /** With the models that are loaded beside it, by the option that names each. */
  estimate(facts: ModelFacts, options: unknown, companions?: Companions): MemoryEstimate;
  /** Strict: an unknown, ill-typed or forbidden option is refused before a spawn. */
  readonly optionsSchema: z.ZodType;
  /** Absolute: its directories are the adapters that sessions can load; absent: none can. */
  readonly adaptersDirectory?: string;
  /** Options that name another model. Whoever loads resolves the name, prepares that model, and puts its directory in place of the name. */
  readonly modelOptions?: readonly string[];
  /** Its key-value cache takes memory while requests run, not at the load: each request needs room for what it may come to (docs/spec/serving.md §4). */
  readonly growsCache?: boolean;
  /** Optional conversion before a load, cached and cancellable. */
  prepare(facts: ModelFacts, onProgress: (doneBytes: number, totalBytes: number) => void, signal: AbortSignal, options?: unknown): Promise<PreparedModel>;
  /** null when the engine has no process. */
  processSpec(model: PreparedModel, options: unknown, companions?: Companions): ProcessSpec | null;
  connect(channel: ProcessChannel | URL, signal: AbortSignal): Promise<EngineSession>;
}
