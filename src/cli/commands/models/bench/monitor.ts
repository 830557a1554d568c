import { z } from 'zod';
import { machine } from '../../../../app/index.ts';
import type { MonitorSample, MonitorSummary } from '../../../../contract/index.ts';
import { HearthError } from '../../../../core/index.ts';
import { openLines, runCommand, startMonitor } from '../../../bench/monitor.ts';
import { defineCommand, option } from '../../../command.ts';

const seconds = z.coerce.number({ error: 'must be a number' }).gt(0, { error: 'must be above 0' });

export const benchMonitorCommand = defineCommand({
  name: 'bench monitor',
  group: 'Models',
  summary: 'Watch memory, processor and GPU, for a time or while a program runs',
  arguments: [{ name: 'command', schema: z.array(z.string()).optional().describe('program to run, after `--`') }],
  options: {
    intervalMs: option(
      z.coerce.number({ error: 'must be a number' }).int().min(20, { error: 'must be at least 20' }).max(3_600_000).default(200),
      'milliseconds between samples',
      { value: '<n>' },
    ),
    durationS: option(seconds.optional(), 'seconds to watch; without it until Ctrl-C or the end of the program', { value: '<n>' }),
    output: option(z.string().min(1).optional(), 'write samples and summary there, as JSON lines', { value: '<file>', short: 'o' }),
  },
  async run(context, args: { command: readonly string[] | undefined }, given) {
    const { command } = args;
    if (command === undefined && given.durationS === undefined && given.output === undefined && !context.terminal.stderr)
      throw new HearthError('invalid_argument', 'Say how long: --duration-s N, or a program after `--`.');
    const file = given.output === undefined ? null : await openLines(context.cwd, given.output);
    const ended = new AbortController();
    const stopListening = context.onInterrupt(() => ended.abort());
    const onSample = (sample: MonitorSample) => file?.write(sample);
    const running = startMonitor({ monitor: (await machine()).monitor, intervalMs: given.intervalMs, onSample });
    const signal = AbortSignal.any([ended.signal, context.signal, ...(given.durationS === undefined ? [] : [AbortSignal.timeout(given.durationS * 1000)])]);
    let exitCode: number | null = null;
    let result: MonitorSummary | null = null;
    try {
      if (command !== undefined) exitCode = await runCommand(command, { cwd: context.cwd, signal, quietStdout: context.common.json });
      else await aborted(signal);
    } finally {
      stopListening();
      const summary = await running.stop();
      const data: MonitorSummary = { ...summary, ...(command === undefined ? {} : { exit_code: exitCode, command: command.join(' ') }) };
      await file?.write({ summary: data });
      await file?.close();
      result = data;
    }
    return { data: { summary: result as MonitorSummary, output: given.output ?? null }, exitCode: exitCode ?? 0 };
  },
  render({ summary, output }) {
    const range = (title: string, low: number | undefined, high: number | undefined, unit: string) =>
      low === undefined && high === undefined ? [] : [`${title.padEnd(12)}${low === undefined ? '' : `${low} … `}${high} ${unit}`];
    return [
      `${'Time'.padEnd(12)}${summary.duration_s} s, ${summary.samples} samples`,
      ...range('Free memory', summary.ram_free_min_gb, summary.ram_free_max_gb, 'GiB'),
      ...range('Swap', undefined, summary.swap_max_mb, 'MiB at most'),
      ...range('Load', undefined, summary.load_max, 'at most'),
      ...range('Processor', undefined, summary.cpu_user_max, '% at most'),
      ...range('GPU', undefined, summary.gpu_device_max, '% at most'),
      ...(summary.exit_code === undefined ? [] : [`${'Exit code'.padEnd(12)}${summary.exit_code}`]),
      ...(output === null ? [] : [`Wrote ${output}.`]),
    ].join('\n');
  },
});

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
