import type { ErrorCode } from '../contract/errors.ts';

/** What one job may take (docs/spec/security.md §5, §9). */
export interface HelperLimits {
  /** From the moment the helper has the job; its start is not counted. */
  readonly wallMs: number;
  /** Characters of the answer as JSON. */
  readonly outputCharacters: number;
  readonly memoryBytes: number;
}

/** Work on untrusted data for a small program of ours in a locked-down process of its own. */
export interface HelperJob {
  /** Absolute path of a program that calls `serveHelper`. */
  readonly program: string;
  /** npm packages that the program imports, besides this one. */
  readonly packages: readonly string[];
  /** JSON value. */
  readonly input: unknown;
  readonly limits: HelperLimits;
  /** Code and subject of the error when a limit is passed: `template_limit`, `The chat template of this model`. */
  readonly overLimit: { readonly code: ErrorCode; readonly subject: string };
}

/** Port of the pool of helper processes (supervisor/helpers), handed in by app. */
export interface HelperPool {
  /**
   * The helper's answer. A helper that passes a limit or dies is killed and replaced. Throws the error of the job's `overLimit`, what the program
   * threw as HearthError, or the reason of the signal.
   */
  run(job: HelperJob, signal?: AbortSignal): Promise<unknown>;
}
