/** What this machine has, as planning and `status` use it (docs/spec/stack.md §3). */
export interface HardwareProfile {
  readonly platform: NodeJS.Platform;
  readonly arch: string;
  /** Name of the processor or of the largest discrete GPU, such as `Apple M4 Pro`. */
  readonly chip: string;
  /** Processors that this process may use. */
  readonly cpuCount: number;
  /** macOS: performance cores; null elsewhere. */
  readonly performanceCores: number | null;
  readonly gpuCores: number | null;
  /** Memory that hearth may count on: of the machine, or of the container when that is less. Of the GPU, where one has its own. */
  readonly memoryBytes: number;
  /** Memory of the machine itself. */
  readonly machineMemoryBytes: number;
  readonly gpus: readonly Gpu[];
  /** What one device can hold at most. */
  readonly deviceLimitBytes: number;
  readonly bandwidthGbps: number | null;
  /** The bandwidth is a guess by class, not of this very chip. */
  readonly isEstimate: boolean;
  /** Such as `m4-pro-48` or `cpu-x64-64`. */
  readonly profileId: string;
}

export interface Gpu {
  readonly name: string;
  readonly memoryBytes: number;
  readonly driver: string | null;
}
