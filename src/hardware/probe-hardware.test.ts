import { expect, test } from 'vitest';
import { type HardwareSources, memoryTotalBytes, probeHardware } from './index.ts';

const GIB = 2 ** 30;

const machine = (
  over: Partial<HardwareSources> & { readonly files?: Record<string, string>; readonly programs?: Record<string, string> },
): HardwareSources => ({
  platform: 'linux',
  arch: 'x64',
  cpuModel: 'Some Processor',
  cpuCount: 8,
  totalMemoryBytes: 64 * GIB,
  readText: async (path) => over.files?.[path] ?? null,
  run: async (file, args) => over.programs?.[[file, ...args].join(' ')] ?? over.programs?.[file] ?? null,
  ...over,
});

test('The smallest limit of the control group and its parents counts as the memory', async () => {
  const files = {
    '/proc/self/cgroup': '0::/user.slice/job.scope\n',
    '/sys/fs/cgroup/user.slice/job.scope/memory.max': 'max\n',
    '/sys/fs/cgroup/user.slice/memory.max': `${12 * GIB}\n`,
  };
  expect(await memoryTotalBytes(machine({ files }))).toBe(12 * GIB);
  expect((await probeHardware(machine({ files }))).profileId).toBe('cpu-x64-12');
});

test('A limit of control groups version 1 counts, and its "no limit" number does not', async () => {
  const limited = { '/proc/self/cgroup': '5:cpu,memory:/docker/a\n', '/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes': String(4 * GIB) };
  expect(await memoryTotalBytes(machine({ files: limited }))).toBe(4 * GIB);
  const unlimited = { ...limited, '/sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes': '9223372036854771712' };
  expect(await memoryTotalBytes(machine({ files: unlimited }))).toBe(64 * GIB);
});

test('The largest NVIDIA GPU is the device and names the profile', async () => {
  const output = 'NVIDIA GeForce RTX 4090, 24564, 550.1\nNVIDIA H200, 143771, 550.1\nbroken line\n';
  const profile = await probeHardware(machine({ programs: { 'nvidia-smi': output } }));
  expect(profile).toMatchObject({ chip: 'NVIDIA H200', bandwidthGbps: 4800, isEstimate: false, profileId: 'nvidia-h200-141' });
  expect(profile.gpus).toHaveLength(2);
  expect(profile.memoryBytes).toBe(64 * GIB);
});

test('An Apple chip gives its bandwidth by cores, its id and the share that the GPU may wire', async () => {
  const apple = (brand: string, gpuCores: string, totalMemoryBytes: number): HardwareSources =>
    machine({
      platform: 'darwin',
      arch: 'arm64',
      totalMemoryBytes,
      programs: {
        '/usr/sbin/sysctl -n machdep.cpu.brand_string': `${brand}\n`,
        '/usr/sbin/sysctl -n hw.perflevel0.logicalcpu': '10\n',
        '/usr/sbin/system_profiler': `{"SPDisplaysDataType":[{"sppci_cores" : "${gpuCores}"}]}`,
      },
    });
  expect(await probeHardware(apple('Apple M4 Pro', '20', 48 * GIB))).toMatchObject({
    profileId: 'm4-pro-48',
    bandwidthGbps: 273,
    isEstimate: false,
    performanceCores: 10,
    gpuCores: 20,
    deviceLimitBytes: 36 * GIB,
  });
  expect(await probeHardware(apple('Apple M4 Max', '32', 36 * GIB))).toMatchObject({ bandwidthGbps: 410, isEstimate: false, deviceLimitBytes: 24 * GIB });
  expect(await probeHardware(apple('Apple M4 Max', '38', 36 * GIB))).toMatchObject({ bandwidthGbps: 410, isEstimate: true });
  expect(await probeHardware(apple('Apple M9', '38', 36 * GIB))).toMatchObject({ bandwidthGbps: 400, isEstimate: true });
  expect(await probeHardware(apple('Intel Core', '', 16 * GIB))).toMatchObject({ profileId: 'cpu-arm64-16', gpuCores: null, bandwidthGbps: null });
});

test('This very machine is probed without an error', async () => {
  const profile = await probeHardware();
  expect(profile.memoryBytes).toBeGreaterThan(0);
  expect(profile.memoryBytes).toBeLessThanOrEqual(profile.machineMemoryBytes);
  expect(profile.cpuCount).toBeGreaterThan(0);
});
