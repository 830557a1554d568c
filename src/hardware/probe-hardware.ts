import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { appleBandwidth, appleDeviceLimit } from './apple.ts';
import { cgroupMemoryLimit, type ReadText } from './memory-limit.ts';
import { NVIDIA_QUERY, nvidiaBandwidth, parseNvidiaQuery } from './nvidia.ts';
import type { Gpu, HardwareProfile } from './profile.ts';

/** The machine, injected so that other machines can be shown in tests. */
export interface HardwareSources {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  readonly cpuModel: string;
  readonly cpuCount: number;
  readonly totalMemoryBytes: number;
  readonly readText: ReadText;
  /** Output of a program, or null when it is missing, fails or takes longer. */
  readonly run: (file: string, args: readonly string[], timeoutMs: number) => Promise<string | null>;
}

const thisMachine: HardwareSources = {
  platform: process.platform,
  arch: process.arch,
  cpuModel: cpus()[0]?.model.trim() ?? 'unknown',
  cpuCount: availableParallelism(),
  totalMemoryBytes: totalmem(),
  readText: async (path) => {
    try {
      return await readFile(path, 'utf8');
    } catch {
      return null;
    }
  },
  run: async (file, args, timeoutMs) => {
    try {
      return (await promisify(execFile)(file, [...args], { timeout: timeoutMs, killSignal: 'SIGKILL' })).stdout;
    } catch {
      return null;
    }
  },
};

/** Never fails: what cannot be found out is null or marked as an estimate. */
export async function probeHardware(sources: HardwareSources = thisMachine): Promise<HardwareProfile> {
  return sources.platform === 'darwin' ? probeApple(sources) : probeLinux(sources);
}

/** Memory of the machine, or of the container where that is less, in bytes. */
export async function memoryTotalBytes(sources: HardwareSources = thisMachine): Promise<number> {
  const limit = sources.platform === 'linux' ? await cgroupMemoryLimit(sources.readText) : null;
  return Math.min(sources.totalMemoryBytes, limit ?? Number.POSITIVE_INFINITY);
}

const gibOf = (bytes: number): number => Math.floor(bytes / 2 ** 30);
const SYSCTL = '/usr/sbin/sysctl';

async function probeApple(sources: HardwareSources): Promise<HardwareProfile> {
  const sysctl = async (name: string): Promise<string> => ((await sources.run(SYSCTL, ['-n', name], 10_000)) ?? '').trim();
  const chip = (await sysctl('machdep.cpu.brand_string')) || sources.cpuModel;
  const memoryBytes = sources.totalMemoryBytes;
  const base = common(sources, { chip, memoryBytes });
  if (!/^Apple M\d/.test(chip)) return { ...base, profileId: `cpu-${sources.arch}-${gibOf(memoryBytes)}` };
  const performanceCores = Number(await sysctl('hw.perflevel0.logicalcpu')) || null;
  const gpuCores = gpuCoresOf(await sources.run('/usr/sbin/system_profiler', ['SPDisplaysDataType', '-json'], 30_000));
  const { gbps, isEstimate } = appleBandwidth(chip, gpuCores, gibOf(memoryBytes));
  return {
    ...base,
    performanceCores,
    gpuCores,
    bandwidthGbps: gbps,
    isEstimate,
    deviceLimitBytes: appleDeviceLimit(memoryBytes, Number(await sysctl('iogpu.wired_limit_mb')) || 0),
    profileId: `${chip
      .replace(/^Apple /, '')
      .toLowerCase()
      .replaceAll(' ', '-')}-${gibOf(memoryBytes)}`,
  };
}

function gpuCoresOf(json: string | null): number | null {
  const cores = Number(/"sppci_cores"\s*:\s*"(\d+)"/.exec(json ?? '')?.[1]);
  return cores > 0 ? cores : null;
}

async function probeLinux(sources: HardwareSources): Promise<HardwareProfile> {
  const memoryBytes = await memoryTotalBytes(sources);
  const gpus = sources.platform === 'linux' ? parseNvidiaQuery((await sources.run('nvidia-smi', NVIDIA_QUERY, 10_000)) ?? '') : [];
  const largest = gpus.toSorted((a, b) => b.memoryBytes - a.memoryBytes)[0];
  const base = common(sources, { chip: sources.cpuModel, memoryBytes });
  return largest === undefined ? base : withGpu(base, gpus, largest);
}

function withGpu(base: HardwareProfile, gpus: readonly Gpu[], device: Gpu): HardwareProfile {
  const { gbps, isEstimate } = nvidiaBandwidth(device.name);
  const word = device.name
    .replace(/^NVIDIA\s+/i, '')
    .replace(/^(GeForce|Tesla)\s+/i, '')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean);
  return {
    ...base,
    chip: device.name,
    gpus,
    deviceLimitBytes: device.memoryBytes,
    bandwidthGbps: gbps,
    isEstimate,
    profileId: `nvidia-${word.slice(0, word[0] === 'rtx' ? 2 : 1).join('-')}-${Math.ceil(device.memoryBytes / 2 ** 30)}`,
  };
}

function common(sources: HardwareSources, found: { readonly chip: string; readonly memoryBytes: number }): HardwareProfile {
  return {
    platform: sources.platform,
    arch: sources.arch,
    chip: found.chip,
    cpuCount: sources.cpuCount,
    performanceCores: null,
    gpuCores: null,
    memoryBytes: found.memoryBytes,
    machineMemoryBytes: sources.totalMemoryBytes,
    gpus: [],
    deviceLimitBytes: found.memoryBytes,
    bandwidthGbps: null,
    isEstimate: true,
    profileId: `cpu-${sources.arch}-${gibOf(found.memoryBytes)}`,
  };
}
