import { expect, test } from 'vitest';
import { createMachineMonitor } from './machine-monitor.ts';

/** Output as the programs print it. */
const MAC: Readonly<Record<string, string>> = {
  '/usr/bin/vm_stat':
    'Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:                               65536.\nPages active:                            500000.\nPages inactive:                           65536.\nPages speculative:                            0.\n',
  'vm.swapusage': 'total = 2048.00M  used = 1.50G  free = 548.00M  (encrypted)\n',
  'kern.memorystatus_vm_pressure_level': '2\n',
  'vm.loadavg': '{ 3,21 2.50 1.75 }\n',
  '/usr/bin/top': 'Processes: 500 total\nCPU usage: 12.5% user, 7.5% sys, 80.0% idle\n',
  '/usr/sbin/ioreg': '"PerformanceStatistics" = {"Tiler Utilization %"=3,"Renderer Utilization %"=41,"Device Utilization %"=42}',
};

test('macOS is read from vm_stat, sysctl, top and ioreg', async () => {
  const monitor = createMachineMonitor({
    platform: 'darwin',
    readText: async () => null,
    run: async (file, args) => MAC[file === '/usr/sbin/sysctl' ? args[1]! : file] ?? null,
  });
  expect(await monitor.sample()).toEqual({
    ramFreeGb: 2,
    swapUsedMb: 1536,
    memoryPressure: 2,
    vmPressure: 2,
    load: [3.21, 2.5, 1.75],
    cpuUser: 12.5,
    cpuSys: 7.5,
    cpuIdle: 80,
    gpuDeviceUtil: 42,
    gpuRendererUtil: 41,
    gpuTilerUtil: 3,
  });
});

test('Linux is read from /proc, processor shares between two samples, GPUs from the query tool', async () => {
  let stat = 'cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 1 1 1\n';
  const files: Record<string, () => string> = {
    '/proc/meminfo': () => 'MemTotal:       16777216 kB\nMemAvailable:    4194304 kB\nSwapTotal:       1048576 kB\nSwapFree:         786432 kB\n',
    '/proc/stat': () => stat,
    '/proc/loadavg': () => '1.50 1.00 0.50 2/345 678\n',
    '/proc/pressure/memory': () => 'some avg10=12.34 avg60=1.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n',
  };
  const monitor = createMachineMonitor({ platform: 'linux', readText: async (path) => files[path]?.() ?? null, run: async () => '12, 40\n77, 3\n' });
  const first = await monitor.sample();
  expect(first).toEqual({ ramFreeGb: 4, swapUsedMb: 256, vmPressure: 12.34, memoryPressure: 2, load: [1.5, 1, 0.5], gpuDeviceUtil: 77 });
  stat = 'cpu  150 0 75 875 100 0 0 0 0 0\n';
  expect(await monitor.sample()).toMatchObject({ cpuUser: 25, cpuSys: 12.5, cpuIdle: 62.5 });
});

test('what a machine does not tell is left out', async () => {
  for (const platform of ['linux', 'darwin', 'freebsd'] as const) {
    const monitor = createMachineMonitor({ platform, readText: async () => null, run: async () => null });
    expect(await monitor.sample()).toEqual({});
  }
});
