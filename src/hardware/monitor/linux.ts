import { GIB, type MachineSample, type MonitorSources, round } from './sample.ts';

/** Jiffies of all processors so far. */
interface CpuTimes {
  readonly user: number;
  readonly sys: number;
  readonly idle: number;
}

/** /proc/meminfo, /proc/stat, /proc/loadavg and /proc/pressure/memory, and the query tool of NVIDIA where there is one. */
export function createLinuxMonitor({ readText, run }: MonitorSources): { sample(): Promise<MachineSample> } {
  let before: CpuTimes | null = null;
  let hasGpu = true;
  return {
    async sample() {
      const [memory, stat, load, pressure, gpu] = await Promise.all([
        readText('/proc/meminfo'),
        readText('/proc/stat'),
        readText('/proc/loadavg'),
        readText('/proc/pressure/memory'),
        hasGpu ? run('nvidia-smi', ['--query-gpu=utilization.gpu,utilization.memory', '--format=csv,noheader,nounits'], 1000) : null,
      ]);
      hasGpu &&= gpu !== null;
      const now = cpuTimes(stat ?? '');
      const shares = now !== null && before !== null ? cpuShares(before, now) : {};
      before = now;
      return { ...memorySample(memory ?? ''), ...pressureSample(pressure ?? ''), ...loadSample(load ?? ''), ...shares, ...gpuSample(gpu ?? '') };
    },
  };
}

function memorySample(text: string): MachineSample {
  const kib = (name: string): number | null => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1];
    return found === undefined ? null : Number(found);
  };
  const [available, swapTotal, swapFree] = [kib('MemAvailable'), kib('SwapTotal'), kib('SwapFree')];
  return {
    ...(available === null ? {} : { ramFreeGb: round((available * 1024) / GIB) }),
    ...(swapTotal === null || swapFree === null ? {} : { swapUsedMb: round((swapTotal - swapFree) / 1024, 1) }),
  };
}

/** `some avg10=1.23 …`: the kernel's own measure of waiting; levels as macOS counts them. */
function pressureSample(text: string): MachineSample {
  const some = /^some avg10=([\d.]+)/m.exec(text)?.[1];
  if (some === undefined) return {};
  const share = Number(some);
  return { vmPressure: share, memoryPressure: share >= 40 ? 4 : share >= 10 ? 2 : 1 };
}

function loadSample(text: string): MachineSample {
  const [one, five, fifteen] = text.split(' ').map(Number);
  if (!Number.isFinite(one) || !Number.isFinite(five) || !Number.isFinite(fifteen)) return {};
  return { load: [one!, five!, fifteen!] };
}

function cpuTimes(text: string): CpuTimes | null {
  const line = /^cpu\s+([\d ]+)$/m.exec(text)?.[1];
  if (line === undefined) return null;
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, softirq = 0] = line.trim().split(/\s+/).map(Number);
  return { user: user + nice, sys: system + irq + softirq, idle: idle + wait };
}

function cpuShares(before: CpuTimes, now: CpuTimes): MachineSample {
  const [user, sys, idle] = [now.user - before.user, now.sys - before.sys, now.idle - before.idle];
  const total = user + sys + idle;
  if (total <= 0) return {};
  const share = (part: number): number => round((Math.max(0, part) * 100) / total, 1);
  return { cpuUser: share(user), cpuSys: share(sys), cpuIdle: share(idle) };
}

/** The busiest of several GPUs. */
function gpuSample(text: string): MachineSample {
  const rows = text
    .trim()
    .split('\n')
    .map((line) => Number(line.split(',')[0]))
    .filter((value) => Number.isFinite(value));
  return text.trim() === '' || rows.length === 0 ? {} : { gpuDeviceUtil: Math.max(...rows) };
}
