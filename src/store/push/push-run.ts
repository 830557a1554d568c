import type { StoreOptions } from '../options.ts';
import type { PushHub } from './push-hub.ts';

export interface PushParameters {
  /** A directory, the beginning of one workspace's path, or the name of a workspace in the workspace home. */
  readonly directory: string;
  /** Only a name of the workspace home: for callers that may not name paths. */
  readonly nameOnly?: boolean;
  /** The caller is another program: only listed targets are open to it. */
  readonly listedTargetsOnly?: boolean;
  /** Tell every file that is going to be sent, not only the first 20. */
  readonly verbose?: boolean;
  /** `org/model`. */
  readonly repository: string;
  /** `main`. Made when it is missing. */
  readonly branch?: string;
  /** First line of the commit. */
  readonly message?: string;
  /** Make the repository, private, when it is missing. */
  readonly create?: boolean;
  /** Delete what is on the hub and not in the folder. */
  readonly delete?: boolean;
  /** Look at the folder only: no network, no token. */
  readonly checkOnly?: boolean;
  /** Compare with the hub, and send nothing. */
  readonly dryRun?: boolean;
  readonly onProgress?: (progress: PushProgress) => void;
  /** What is going to be sent, and why it takes longer. */
  readonly onNotice?: (message: string) => void;
  readonly signal?: AbortSignal;
}

export interface PushProgress {
  /** Reading the files, then sending them. */
  readonly phase: 'check' | 'upload';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** What a push works with. */
export interface PushRun {
  readonly options: StoreOptions;
  readonly parameters: PushParameters;
  readonly hub: PushHub;
  readonly repository: string;
  readonly branch: string;
  readonly signal: AbortSignal;
}

/** A counter of bytes that tells the progress of one phase. */
export function progressOf(parameters: Pick<PushParameters, 'onProgress'>, phase: PushProgress['phase'], total: number): (bytes: number) => void {
  let done = 0;
  return (bytes) => {
    done += bytes;
    parameters.onProgress?.({ phase, doneBytes: done, totalBytes: total });
  };
}
