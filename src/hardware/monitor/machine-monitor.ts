import { createLinuxMonitor } from './linux.ts';
import { createMacMonitor } from './macos.ts';
import type { MachineMonitor, MonitorSources } from './sample.ts';
import { thisMachine } from './this-machine.ts';

/** What this machine does, again and again (docs/spec/store.md §12). A platform that is not known gives empty samples. */
export function createMachineMonitor(sources: MonitorSources = thisMachine): MachineMonitor {
  if (sources.platform === 'darwin') return createMacMonitor(sources);
  return sources.platform === 'linux' ? createLinuxMonitor(sources) : { sample: async () => ({}) };
}

/** Memory of a process now and at its peak, in bytes; null where the system does not tell. */
export async function processMemory(
  pid: number,
  sources: MonitorSources = thisMachine,
): Promise<{ readonly nowBytes: number; readonly peakBytes: number } | null> {
  if (sources.platform === 'linux') {
    const status = (await sources.readText(`/proc/${pid}/status`)) ?? '';
    const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN);
    const [now, peak] = [kib('VmRSS') * 1024, kib('VmHWM') * 1024];
    return Number.isFinite(now) && Number.isFinite(peak) ? { nowBytes: now, peakBytes: peak } : null;
  }
  const kib = Number((await sources.run('ps', ['-o', 'rss=', '-p', String(pid)], 2000))?.trim() || Number.NaN);
  return Number.isFinite(kib) ? { nowBytes: kib * 1024, peakBytes: kib * 1024 } : null;
}
