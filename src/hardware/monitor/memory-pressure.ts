import type { MonitorSources } from './sample.ts';
import { thisMachine } from './this-machine.ts';

/** How scarce the operating system says that memory is. */
export interface PressureSample {
  /** Resident memory of each process that is still there. */
  readonly usedBytes: ReadonlyMap<number, number>;
  readonly level: 'normal' | 'soft' | 'hard';
  /** For people; empty for `normal`. */
  readonly reason: string;
}

export interface MemoryPressure {
  sample(pids: readonly number[]): Promise<PressureSample>;
}

/** Share of the last ten seconds in which something waited for memory, in percent (docs/spec/serving.md §5.2). */
const PSI_SOFT = 20;
/** And in which everything did: the machine does nothing else any more. */
const PSI_FULL_HARD = 20;

/** Linux: pressure stall information and `memory.high` of the control group; macOS: the level that the kernel tells. Elsewhere only the processes are measured. */
export function createMemoryPressure(sources: MonitorSources = thisMachine): MemoryPressure {
  const signal = sources.platform === 'linux' ? linuxSignal(sources) : sources.platform === 'darwin' ? () => macSignal(sources) : async () => NORMAL;
  return {
    async sample(pids) {
      const [told, used] = await Promise.all([signal(), sources.platform === 'linux' ? linuxMemory(sources, pids) : listedMemory(sources, pids)]);
      return { ...told, usedBytes: used };
    },
  };
}

type Signal = Pick<PressureSample, 'level' | 'reason'>;
const NORMAL: Signal = { level: 'normal', reason: '' };

function linuxSignal({ readText }: MonitorSources): () => Promise<Signal> {
  let highEvents: number | null = null;
  return async () => {
    const group = /^0::(\/.*)$/m.exec((await readText('/proc/self/cgroup')) ?? '')?.[1]?.replace(/\/$/, '');
    const directory = group === undefined ? null : `/sys/fs/cgroup${group}`;
    const [machine, own, events] = await Promise.all([
      readText('/proc/pressure/memory'),
      directory === null ? null : readText(`${directory}/memory.pressure`),
      directory === null ? null : readText(`${directory}/memory.events`),
    ]);
    const texts = [machine, own].filter((text) => text !== null);
    const worst = (kind: 'some' | 'full') => Math.max(0, ...texts.map((text) => Number(new RegExp(`^${kind} avg10=([\\d.]+)`, 'm').exec(text)?.[1] ?? 0)));
    const high = Number(/^high (\d+)$/m.exec(events ?? '')?.[1] ?? Number.NaN);
    const rose = highEvents !== null && high > highEvents;
    highEvents = Number.isFinite(high) ? high : highEvents;
    if (worst('full') > PSI_FULL_HARD) return { level: 'hard', reason: `everything waited for memory in ${worst('full')} % of the last ten seconds` };
    if (worst('some') > PSI_SOFT) return { level: 'soft', reason: `something waited for memory in ${worst('some')} % of the last ten seconds` };
    return rose ? { level: 'soft', reason: 'the control group went over its memory.high' } : NORMAL;
  };
}

/** 1 normal, 2 warning, 4 critical. */
async function macSignal({ run }: MonitorSources): Promise<Signal> {
  const level = Number((await run('/usr/sbin/sysctl', ['-n', 'kern.memorystatus_vm_pressure_level'], 2000))?.trim() || Number.NaN);
  if (level === 4) return { level: 'hard', reason: 'macOS says that memory is critical' };
  return level === 2 ? { level: 'soft', reason: 'macOS warns that memory is short' } : NORMAL;
}

async function linuxMemory({ readText }: MonitorSources, pids: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const rows = await Promise.all(
    pids.map(async (pid) => [pid, Number(/^VmRSS:\s+(\d+) kB/m.exec((await readText(`/proc/${pid}/status`)) ?? '')?.[1] ?? Number.NaN) * 1024] as const),
  );
  return new Map(rows.filter(([, bytes]) => Number.isFinite(bytes)));
}

async function listedMemory({ run }: MonitorSources, pids: readonly number[]): Promise<ReadonlyMap<number, number>> {
  if (pids.length === 0) return new Map();
  const text = (await run('ps', ['-o', 'pid=,rss=', '-p', pids.join(',')], 2000)) ?? '';
  return new Map([...text.matchAll(/^\s*(\d+)\s+(\d+)\s*$/gm)].map((match) => [Number(match[1]), Number(match[2]) * 1024]));
}
