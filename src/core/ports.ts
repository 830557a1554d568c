/** Time, injected so that scheduling can be tested without waiting. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds of a clock that never goes back. */
  monotonic(): number;
}

export const systemClock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warning(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warning() {}, error() {} };

export type Fetch = typeof globalThis.fetch;

/** Receives the product's events: noun-verb names such as `model-pull-progress`. */
export interface EventSink {
  emit(event: { readonly kind: string } & Readonly<Record<string, unknown>>): void;
}

/** What is known of a model from its files alone; engines judge it without opening weights (docs/spec/store.md §5). */
export interface ModelFacts {
  /** Directory with config.json and weights, or a GGUF file's directory. */
  readonly directory: string;
  readonly framework: 'MLX' | 'GGUF' | 'PyTorch' | 'Unknown';
  /** `model_type` of config.json, or the architecture of the GGUF header. */
  readonly architecture: string | null;
  readonly config: Readonly<Record<string, unknown>>;
  readonly weightFiles: readonly string[];
  readonly weightBytes: number;
  readonly hasChatTemplate: boolean;
  /** Its text, and the parser of tool calls that the files name; absent where nobody read them, or the text is over 1 MiB. */
  readonly chatTemplate?: { readonly source: string; readonly toolParser: string | null };
}

export interface FeatureVerdict {
  readonly ok: boolean;
  readonly engine: string | null;
  readonly reason: string | null;
  /** What a user should know of a feature that can run, such as weights that are quantised at the load. */
  readonly note?: string;
}

/** The store asks which features of a model an installed engine can run; app answers from the engines. */
export type RuntimeProbe = (facts: ModelFacts) => Readonly<Record<string, FeatureVerdict>> | Promise<Readonly<Record<string, FeatureVerdict>>>;
