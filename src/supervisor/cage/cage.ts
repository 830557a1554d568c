import type { ProcessSpec } from '../process-spec.ts';

/** What the user wants of the cage: the strongest that this machine allows, one of namespaces or a profile or nothing, or none. */
export type SandboxMode = 'auto' | 'required' | 'off';

/** A program and its arguments. */
export type Argv = readonly [command: string, ...args: string[]];

export interface CagedCommand {
  readonly argv: Argv;
  /** Written into the descriptor of that number, which the argv names, and closed. */
  readonly feed?: { readonly descriptor: number; readonly bytes: Uint8Array };
}

/** Keeps one process from what is not its business (docs/spec/security.md §9). */
export interface Cage {
  readonly kind: 'bubblewrap' | 'namespaces' | 'sandbox-exec' | 'permissions' | 'off';
  /** `weak`: less than namespaces or a profile. */
  readonly strength: 'strong' | 'weak' | 'none';
  /** What it keeps away, in words for people. */
  readonly detail: string;
  /** Why a stronger one is not used; null: there is none. */
  readonly reason: string | null;
  /** A container that this whole machine seems to be. */
  readonly outer: string | null;
  /** The program runs below the started process, in process numbers of its own. */
  readonly nested: boolean;
  /** `mainThread`: the kernel ties a parent-death signal to the thread that forks, so only there it is asked for. */
  wrap(argv: Argv, spec: ProcessSpec, how: { readonly mainThread: boolean }): CagedCommand;
}

/** What is told of a cage. */
export type CageReport = Pick<Cage, 'kind' | 'strength' | 'detail' | 'reason' | 'outer'>;
