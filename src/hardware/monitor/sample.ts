/** What the machine does at one moment; what cannot be told is absent. Percentages 0 … 100. */
export interface MachineSample {
  readonly ramFreeGb?: number;
  readonly swapUsedMb?: number;
  /** 1 normal, 2 warning, 4 critical. */
  readonly memoryPressure?: 1 | 2 | 4;
  /** Share of the last ten seconds in which something waited for memory. */
  readonly vmPressure?: number;
  readonly load?: readonly [number, number, number];
  readonly cpuUser?: number;
  readonly cpuSys?: number;
  readonly cpuIdle?: number;
  readonly gpuDeviceUtil?: number;
  readonly gpuRendererUtil?: number;
  readonly gpuTilerUtil?: number;
}

export interface MachineMonitor {
  /** Processor shares are those since the call before. */
  sample(): Promise<MachineSample>;
}

export interface MonitorSources {
  readonly platform: NodeJS.Platform;
  readonly readText: (path: string) => Promise<string | null>;
  /** Output of a program, or null when it is missing, fails or takes longer. */
  readonly run: (file: string, args: readonly string[], timeoutMs: number) => Promise<string | null>;
}

export const GIB = 2 ** 30;
export const round = (value: number, digits = 2): number => Math.round(value * 10 ** digits) / 10 ** digits;
