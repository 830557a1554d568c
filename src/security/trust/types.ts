import type { ModelFile, SignatureProblem } from '../signing/index.ts';

export type TrustMode = 'enforce' | 'warn' | 'off';
/** How sure hearth has to be of a source: a valid signature; the content that was pulled or first used; the same for paths; the intake gates alone. */
export type Requirement = 'signature' | 'pinned-hash' | 'tofu' | 'gates';
export type SourceKind = 'hub' | 'workspace' | 'path';

/** One model that is to be loaded, or looked at. */
export interface AdmitRequest {
  /** What the gateway calls it: `org/name`, with a variant, or the basename of a directory. */
  readonly id: string;
  /** Absolute: a snapshot of the cache, a workspace, or any other directory. */
  readonly directory: string;
  /** The only files that are wanted of it, relative to the directory: one GGUF model of several. Absent: all that an engine can read. */
  readonly only?: readonly string[];
  /** The user named this very revision: an older one that was accepted is no rollback then. */
  readonly revisionNamed?: boolean;
  readonly signal?: AbortSignal;
}

export interface TrustVerdict {
  /** `unchecked`: the mode is off. `warned`: refused by the rules, and loaded all the same. */
  readonly decision: 'accepted' | 'warned' | 'refused' | 'unchecked';
  /** A code of docs/spec/security.md §1.2 to §2, or one of this folder; null when nothing is wrong. */
  readonly reason: string | null;
  readonly source: SourceKind;
  readonly require: Requirement | null;
  readonly rootDigest: string | null;
  readonly revision: string | null;
  /** Hint of the signer's key, where a signature was checked. */
  readonly signer: string | null;
  /** Its content was seen for the first time and is the known one from now on. */
  readonly firstUse: boolean;
  /** Nothing was hashed: the files are those of an earlier verdict. */
  readonly cached: boolean;
  readonly problems: readonly SignatureProblem[];
}

/** Leave to load, held while the model is loaded. */
export interface Admission {
  /** One link for each verified file, at its relative path; the model's own directory where nothing is checked. */
  readonly viewDirectory: string;
  readonly files: readonly ModelFile[];
  readonly verdict: TrustVerdict;
  /**
   * Takes in a directory of links that an engine made over the view, before the engine's process starts: they may lead to verified files, and to
   * those of `own`, what the engine wrote itself. Throws model_refused (`file_changed`) for one that leads elsewhere.
   */
  watch(links: string, own?: string): Promise<void>;
  /**
   * Asked for what an engine made of these files and keeps, before `watch`; `fresh`: in this very load. True: it was made while the files were those
   * of a verdict, and is what was made. False: it is gone now, and has to be made anew. Throws model_refused (`file_changed`) when a file of the model
   * changed while a fresh one was made, which is gone then too.
   */
  takeOutput(directory: string, fresh: boolean): Promise<boolean>;
  /** After the engine has read the files: throws model_refused (`file_changed`) when a file, or a link to one, is not what it was. */
  recheck(): Promise<void>;
  release(): void;
}

/** The door of the load path. */
export interface ModelTrust {
  /** Throws model_refused with the code as `details.reason`, trust_tampered. */
  admit(request: AdmitRequest): Promise<Admission>;
}
