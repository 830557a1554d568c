import { release } from 'node:os';
import { machine } from '../../app/index.ts';
import type { BenchLine, QualityFlag } from '../../contract/index.ts';
import { round } from './statistics.ts';

export interface MachineFacts {
  readonly profileId: string;
  readonly system: NonNullable<BenchLine['system']>;
  /** What could spoil a measurement, now. `leftOver`: worker processes of models that are gone. */
  health(leftOver: number): Promise<NonNullable<BenchLine['system_health']>>;
  memory(pid: number): Promise<{ readonly nowBytes: number; readonly peakBytes: number } | null>;
}

export async function machineFacts(): Promise<MachineFacts> {
  const { monitor, profile, processMemory } = await machine();
  const profileFields = {
    chip: profile.chip,
    ...(profile.performanceCores === null ? {} : { chip_cores_performance: profile.performanceCores }),
    ...(profile.gpuCores === null ? {} : { gpu_cores: profile.gpuCores }),
  };
  return {
    profileId: profile.profileId,
    system: {
      platform: profile.platform,
      platform_version: release(),
      hardware: profile.chip,
      ram_total_gb: round(profile.memoryBytes / 2 ** 30),
      hardware_profile: profileFields,
    },
    async health(leftOver) {
      const { swapUsedMb, ramFreeGb } = await monitor.sample();
      return {
        ...(swapUsedMb === undefined ? {} : { swap_gb: round(swapUsedMb / 1024, 3) }),
        ...(ramFreeGb === undefined ? {} : { ram_free_gb: ramFreeGb }),
        zombies_detected: leftOver,
        quality_flags: qualityFlags({ swapMb: swapUsedMb ?? 0, freeGb: ramFreeGb ?? Number.POSITIVE_INFINITY, leftOver }),
      };
    },
    memory: (pid) => processMemory(pid),
  };
}

/** Swap over 100 MB, less than 5 GB free, or a worker left over: each is told; `clean` stands alone (docs/spec/store.md §12). */
export function qualityFlags(state: { readonly swapMb: number; readonly freeGb: number; readonly leftOver: number }): QualityFlag[] {
  const flags: QualityFlag[] = [];
  if (state.swapMb > 100) flags.push('degraded_swap');
  if (state.freeGb < 5) flags.push('degraded_memory');
  if (state.leftOver > 0) flags.push('degraded_zombies');
  return flags.length === 0 ? ['clean'] : flags;
}
