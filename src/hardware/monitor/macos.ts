import { GIB, type MachineSample, type MonitorSources, round } from './sample.ts';

const TIMEOUT_MS = 2000;

/** vm_stat, sysctl, top and ioreg; each alone may fail. */
export function createMacMonitor({ run }: MonitorSources): { sample(): Promise<MachineSample> } {
  const sysctl = (name: string) => run('/usr/sbin/sysctl', ['-n', name], TIMEOUT_MS);
  return {
    async sample() {
      const [vmStat, swap, pressure, load, top, gpu] = await Promise.all([
        run('/usr/bin/vm_stat', [], TIMEOUT_MS),
        sysctl('vm.swapusage'),
        sysctl('kern.memorystatus_vm_pressure_level'),
        sysctl('vm.loadavg'),
        run('/usr/bin/top', ['-l', '1', '-n', '0', '-s', '0'], TIMEOUT_MS),
        run('/usr/sbin/ioreg', ['-r', '-d', '1', '-w', '0', '-c', 'IOAccelerator'], TIMEOUT_MS),
      ]);
      return {
        ...memorySample(vmStat ?? ''),
        ...swapSample(swap ?? ''),
        ...pressureSample(pressure ?? ''),
        ...loadSample(load ?? ''),
        ...cpuSample(top ?? ''),
        ...gpuSample(gpu ?? ''),
      };
    },
  };
}

/** Free pages, and those that only hold what a disk holds too. */
function memorySample(text: string): MachineSample {
  const pageBytes = Number(/page size of (\d+) bytes/.exec(text)?.[1] ?? 16_384);
  const pages = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? Number.NaN);
  const free = pages('Pages free') + pages('Pages inactive') + pages('Pages speculative');
  return Number.isFinite(free) ? { ramFreeGb: round((free * pageBytes) / GIB) } : {};
}

function swapSample(text: string): MachineSample {
  const [, amount, unit] = /used = ([\d.]+)([KMGT])/.exec(text.replaceAll(',', '.')) ?? [];
  const scale = { K: 1 / 1024, M: 1, G: 1024, T: 1024 ** 2 }[unit ?? ''];
  return amount === undefined || scale === undefined ? {} : { swapUsedMb: round(Number(amount) * scale, 1) };
}

function pressureSample(text: string): MachineSample {
  const level = Number(text.trim() || Number.NaN);
  return level === 1 || level === 2 || level === 4 ? { memoryPressure: level, vmPressure: level } : {};
}

function loadSample(text: string): MachineSample {
  const [one, five, fifteen] = (text.replaceAll(',', '.').match(/\d+\.\d+/g) ?? []).map(Number);
  return one === undefined || five === undefined || fifteen === undefined ? {} : { load: [one, five, fifteen] };
}

function cpuSample(text: string): MachineSample {
  const [, user, sys, idle] = /CPU usage: ([\d.]+)% user, ([\d.]+)% sys, ([\d.]+)% idle/.exec(text.replaceAll(/(\d),(\d)/g, '$1.$2')) ?? [];
  return user === undefined ? {} : { cpuUser: Number(user), cpuSys: Number(sys), cpuIdle: Number(idle) };
}

function gpuSample(text: string): MachineSample {
  const share = (name: string): number | undefined => {
    const found = new RegExp(`"${name} Utilization %"=(\\d+)`).exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const [device, renderer, tiler] = [share('Device'), share('Renderer'), share('Tiler')];
  return {
    ...(device === undefined ? {} : { gpuDeviceUtil: device }),
    ...(renderer === undefined ? {} : { gpuRendererUtil: renderer }),
    ...(tiler === undefined ? {} : { gpuTilerUtil: tiler }),
  };
}
