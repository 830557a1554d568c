import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import { NO_SECURITY_EVENTS, type SecurityEventSink } from '../core/index.ts';
import type { Argv, Cage, CagedCommand, CageReport, SandboxMode } from './cage/cage.ts';
import { type CageOptions, chooseCage, endsWell, findProgram } from './cage/choose-cage.ts';
import { groupUsage, innermost } from './limits/group-usage.ts';
import { chooseKernelLimits, heldLimits, type KernelLimits } from './limits/kernel-limits.ts';
import { limitsOf } from './limits/process-limits.ts';
import { type LimitWatch, watchLimits } from './limits/watch-limits.ts';
import type { OverLimit, ProcessExit, ProcessSpec, Protection } from './process-spec.ts';

export interface EnclosureOptions {
  /** `auto` when absent. */
  readonly mode?: SandboxMode;
  /** `none`: no child is held to any limit. */
  readonly limits?: 'all' | 'none';
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly events?: SecurityEventSink;
  /** Told once, when the cage is weaker than it could be, or off. */
  readonly onWeak?: (report: CageReport) => void;
  /** How the cage is chosen, where a test says it. */
  readonly choice?: Omit<CageOptions, 'mode'>;
}

/** Walls and limits for the children of one supervisor; chosen once, at the first one, by what this machine allows. */
export interface Enclosure {
  /** Throws sandbox_unavailable. */
  ready(): Promise<{ readonly cage: Cage; readonly kernel: KernelLimits | null }>;
  enclose(argv: Argv, spec: ProcessSpec): Promise<Enclosed>;
}

/** How one child is started and watched. */
export interface Enclosed extends CagedCommand {
  /** Beside the child's own. */
  readonly environment: Readonly<Record<string, string>>;
  /** The number of the program, of which the started process may be only the wall. */
  programOf(leader: number): () => number;
  /** undefined: there are no limits. */
  watch(leader: number, onOver: (over: OverLimit) => void): LimitWatch | undefined;
  exitOf(code: number | null, signal: string | null): Pick<ProcessExit, 'code' | 'signal'>;
  protection(pid: number, watch: LimitWatch | undefined): Protection;
}

/** Programs that stay around, or stand before, the one that is meant. */
const isWrapper = (name: string): boolean => ['bwrap', 'prlimit', 'systemd-run', 'env'].includes(name);

export function createEnclosure(options: EnclosureOptions = {}): Enclosure {
  const { mode = 'auto', limits = 'all', environment = {}, events = NO_SECURITY_EVENTS } = options;
  let chosen: Promise<{ cage: Cage; kernel: KernelLimits | null }> | undefined;

  async function choose() {
    const [cage, kernel] = await Promise.all([
      chooseCage({ mode, ...options.choice }),
      limits === 'none' ? null : chooseKernelLimits({ environment, find: findProgram, works: endsWell }),
    ]);
    if (cage.strength !== 'strong' && limits !== 'none') tell(cage);
    return { cage, kernel };
  }

  function tell({ kind, strength, detail, reason, outer }: Cage): void {
    events.record({
      event: strength === 'none' ? 'sandbox.off' : 'sandbox.weak',
      outcome: 'ok',
      details: { kind, detail, ...(reason === null ? {} : { reason }), ...(outer === null ? {} : { outer }) },
    });
    options.onWeak?.({ kind, strength, detail, reason, outer });
  }

  const ready = () => {
    // A refusal is tried again: what was missing may be installed by then.
    chosen ??= choose().catch((error: unknown) => {
      chosen = undefined;
      throw error;
    });
    return chosen;
  };
  return {
    ready,
    async enclose(argv, spec) {
      const { cage, kernel } = await ready();
      const own = limitsOf(spec);
      const caged = cage.wrap(argv, spec, { mainThread: isMainThread });
      return {
        ...caged,
        argv: kernel === null ? caged.argv : kernel.wrap(caged.argv, own),
        environment: kernel?.environment ?? {},
        programOf: (leader) => programFinder(leader, cage.nested),
        watch: (leader, onOver) => (limits === 'none' ? undefined : watchLimits({ limits: own, usage: () => groupUsage(leader), onOver })),
        exitOf: (code, signal) => (cage.nested ? unwrapExit(code, signal) : { code, signal }),
        protection(pid, watch) {
          const held = heldLimits(pid);
          return {
            cage: { kind: cage.kind, strength: cage.strength, detail: cage.detail, reason: cage.reason, outer: cage.outer },
            layers: [...(kernel !== null && isHeld(kernel, held) ? [kernel.kind] : []), ...(watch?.active ? (['polling'] as const) : [])],
            limits: own,
            held,
          };
        },
      };
    },
  };
}

/** That a tool was put in front proves nothing: the kernel has to say it. */
function isHeld(kernel: KernelLimits, held: Protection['held']): boolean {
  const has = (name: string): boolean => held.some((limit) => limit.name === name);
  return kernel.kind === 'rlimit' ? has('rlimit:data') && held.some(({ name, value }) => name === 'rlimit:core' && value === 0) : has('cgroup:memory.max');
}

/** Found once and kept; until the program is there, the leader stands for it. */
function programFinder(leader: number, nested: boolean): () => number {
  if (!nested) return () => leader;
  let known: number | undefined;
  return () => {
    if (known === undefined) {
      const { pid, found } = innermost(leader, isWrapper);
      if (!found) return leader;
      known = pid;
    }
    return known;
  };
}

/** What stays around a program ends with 128 and the number of the signal that the program died of. */
function unwrapExit(code: number | null, signal: string | null): Pick<ProcessExit, 'code' | 'signal'> {
  const name = code !== null && code > 128 ? Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0] : undefined;
  return name === undefined ? { code, signal } : { code: null, signal: name };
}
