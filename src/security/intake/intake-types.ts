/** Something that a stage found; `code` is a row of docs/spec/security.md §4 and §5. */
export interface IntakeFinding {
  readonly stage: IntakeStage;
  readonly code: string;
  readonly message: string;
  /** Path inside the model. */
  readonly file?: string;
  /** Of a JSON file: `text_config.auto_map`. */
  readonly key?: string;
}

/** In the order in which a model passes them. */
export type IntakeStage = 'limits' | 'sniff' | 'headers' | 'config' | 'template';

/** One file of a model: `path` inside it, `source` the file that holds the bytes now (a blob of the cache, say). */
export interface IntakeFile {
  readonly path: string;
  readonly source: string;
  readonly sizeBytes: number;
  /** Lower-case hex, where it is known. */
  readonly sha256?: string;
}

/**
 * What is about to happen. `pull`: files chosen from a hub's listing; `import`: a file or directory of the user becomes a model; `load`: an engine
 * is about to get the files, whose headers its own process checks.
 */
export type IntakePurpose = 'pull' | 'import' | 'load';

export interface IntakeRequest {
  /** The store's name of the model, for events and the record. */
  readonly id: string;
  readonly revision: string | null;
  readonly purpose: IntakePurpose;
  readonly files: readonly IntakeFile[];
  /** Where the model comes from: `hub`, `python-package:…`, `workspace`. */
  readonly origin?: string;
  /** Most bytes that its source may bring. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
}

/** A JSON file that engines see in another form than it is stored. */
export interface CleanedFile {
  readonly path: string;
  readonly keys: readonly string[];
  readonly bytes: Uint8Array;
  readonly sha256: string;
}

export interface IntakeTemplate {
  readonly file: string;
  readonly sha256: string;
  /** Why engines will use plain conversation blocks instead; null when it renders. */
  readonly problem: string | null;
}

/** Data: all findings at once; the model may enter only with none. */
export interface IntakeReport {
  readonly findings: readonly IntakeFinding[];
  /** Worth telling, nothing that refuses. */
  readonly warnings: readonly IntakeFinding[];
  readonly cleaned: readonly CleanedFile[];
  readonly templates: readonly IntakeTemplate[];
}
