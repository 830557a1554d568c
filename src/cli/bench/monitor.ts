import { spawn } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { MachineMonitor, MachineSample } from '../../app/index.ts';
import type { MonitorSample, MonitorSummary } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { mean, round } from './statistics.ts';

export interface MonitorOrder {
  readonly monitor: MachineMonitor;
  readonly intervalMs: number;
  /** Each sample as it is taken. */
  readonly onSample?: (sample: MonitorSample) => void | Promise<void>;
}

export interface RunningMonitor {
  /** Ends the sampling; the last sample is in. */
  stop(): Promise<MonitorSummary>;
}

/** Samples the machine in an interval until it is stopped. A slow sample delays the next one; none are taken twice at a time. */
export function startMonitor({ monitor, intervalMs, onSample }: MonitorOrder): RunningMonitor {
  const startedAt = performance.now();
  const samples: MonitorSample[] = [];
  let stopped = false;
  let wake = () => {};
  const loop = (async () => {
    while (!stopped) {
      const at = performance.now();
      const sample = wireSample(await monitor.sample(), (at - startedAt) / 1000);
      samples.push(sample);
      await onSample?.(sample);
      const restMs = intervalMs - (performance.now() - at);
      if (!stopped && restMs > 0)
        await new Promise<void>((next) => {
          const timer = setTimeout(next, restMs);
          wake = () => {
            clearTimeout(timer);
            next();
          };
        });
    }
  })();
  return {
    async stop() {
      stopped = true;
      wake();
      await loop;
      return summarise(samples, (performance.now() - startedAt) / 1000, intervalMs);
    },
  };
}

function wireSample(sample: MachineSample, elapsedS: number): MonitorSample {
  const [one, five, fifteen] = sample.load ?? [];
  const fields = {
    ram_free_gb: sample.ramFreeGb,
    swap_used_mb: sample.swapUsedMb,
    memory_pressure: sample.memoryPressure,
    vm_pressure: sample.vmPressure,
    load_1: one,
    load_5: five,
    load_15: fifteen,
    cpu_user: sample.cpuUser,
    cpu_sys: sample.cpuSys,
    cpu_idle: sample.cpuIdle,
    gpu_active: sample.gpuDeviceUtil === undefined ? undefined : sample.gpuDeviceUtil > 0,
    gpu_device_util: sample.gpuDeviceUtil,
    gpu_renderer_util: sample.gpuRendererUtil,
    gpu_tiler_util: sample.gpuTilerUtil,
  };
  const known = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  return { ts: round(Date.now() / 1000, 3), elapsed_s: round(elapsedS, 3), ...known };
}

export function summarise(samples: readonly MonitorSample[], durationS: number, intervalMs: number): MonitorSummary {
  const values = (key: keyof MonitorSample): number[] => samples.map((sample) => sample[key]).filter((value) => typeof value === 'number');
  const part = (name: string, key: keyof MonitorSample, what: (values: readonly number[]) => number) => {
    const found = values(key);
    return found.length === 0 ? {} : { [name]: round(what(found)) };
  };
  const [most, least] = [(found: readonly number[]) => Math.max(...found), (found: readonly number[]) => Math.min(...found)];
  return {
    duration_s: round(durationS),
    samples: samples.length,
    interval_ms: intervalMs,
    ...part('ram_free_min_gb', 'ram_free_gb', least),
    ...part('ram_free_max_gb', 'ram_free_gb', most),
    ...part('ram_free_avg_gb', 'ram_free_gb', mean),
    ...part('swap_max_mb', 'swap_used_mb', most),
    ...part('swap_avg_mb', 'swap_used_mb', mean),
    ...part('load_max', 'load_1', most),
    ...part('load_avg', 'load_1', mean),
    ...part('cpu_user_max', 'cpu_user', most),
    ...part('cpu_sys_max', 'cpu_sys', most),
    ...part('gpu_device_max', 'gpu_device_util', most),
    ...part('gpu_device_avg', 'gpu_device_util', mean),
    ...part('gpu_renderer_max', 'gpu_renderer_util', most),
    ...part('gpu_renderer_avg', 'gpu_renderer_util', mean),
    timestamp: new Date().toISOString(),
  };
}

/** JSON lines, written as they come: what was sampled before a crash is kept. */
export async function openLines(cwd: string, path: string): Promise<{ write(value: unknown): Promise<void>; close(): Promise<void> }> {
  const file: FileHandle = await open(resolve(cwd, path), 'w', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ENOENT' ? new HearthError('invalid_value', `${path}: its directory does not exist.`, { cause: error }) : error;
  });
  return { write: (value) => file.appendFile(`${JSON.stringify(value)}\n`), close: () => file.close() };
}

/** Runs a program with this terminal, or with `quietStdout` its output on stderr; answers its exit code, or 128 and its signal's number as shells do. */
export function runCommand(
  command: readonly string[],
  options: { readonly cwd: string; readonly signal: AbortSignal; readonly quietStdout: boolean },
): Promise<number> {
  const [file, ...args] = command;
  return new Promise((done, reject) => {
    const child = spawn(file!, args, { cwd: options.cwd, stdio: ['inherit', options.quietStdout ? 2 : 'inherit', 'inherit'] });
    const end = () => child.kill('SIGTERM');
    options.signal.addEventListener('abort', end, { once: true });
    child.on('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? new HearthError('invalid_value', `There is no program ${file}.`, { cause: error }) : error);
    });
    child.on('exit', (code, signal) => {
      options.signal.removeEventListener('abort', end);
      done(code ?? (signal === 'SIGINT' ? 130 : signal === 'SIGKILL' ? 137 : 143));
    });
  });
}
