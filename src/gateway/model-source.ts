import type { ModelFacts } from '../core/index.ts';

/** A model that a name led to. */
export interface ResolvedModel {
  /** What stands behind `+` in the name that led here. */
  readonly adapter?: string;
  /** What answers call it: `org/name`, or the basename of a workspace. Never a path. */
  readonly id: string;
  /** Snapshot or content hash, null when there is none. */
  readonly hash: string | null;
  readonly facts: ModelFacts;
  /** Where a workspace came from: the name that machine output gives it; absent: the id. */
  readonly name?: string;
  /** What its files declare (docs/spec/store.md §5); absent where nobody judged them. */
  readonly capabilities?: readonly string[];
  /** The name held a revision: an older one that was accepted before may be loaded. */
  readonly revisionNamed?: boolean;
  /** Directory of a workspace: what its engine looks for in a hub cache lies in there (docs/spec/store.md §8). */
  readonly workspace?: string;
}

/** Identity of a loaded instance: a directory of GGUF files holds several models. */
export const modelKey = ({ facts }: ResolvedModel): string =>
  facts.framework === 'GGUF' ? [facts.directory, ...facts.weightFiles].join('\n') : facts.directory;

/** One row of the model list. */
export interface ListedModel extends ResolvedModel {
  readonly createdAtMs: number;
  readonly sizeBytes: number;
  readonly contextTokens: number | null;
  /** Such as `4-bit`; null when the weights are not quantised. */
  readonly quantization: string | null;
  readonly capabilities: readonly string[];
  /** Names of adapters that are loaded beside it, or say that they were trained on it; absent where nobody looked. */
  readonly adapters?: readonly string[];
}

/** The gateway's door to the store: names in, files out. app implements it over the store. */
export interface ModelSource {
  /** Throws model_not_found, ambiguous_match (details.matches), invalid_name. A path is not a name. */
  resolve(name: string, signal: AbortSignal): Promise<ResolvedModel>;
  /** An absolute path of a workspace; only callers on the socket or in process come here. */
  resolvePath(path: string, signal: AbortSignal): Promise<ResolvedModel>;
  /** Models that an engine could run. */
  list(signal: AbortSignal): Promise<readonly ListedModel[]>;
}
