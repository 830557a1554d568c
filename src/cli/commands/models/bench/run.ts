import { z } from 'zod';
import { machine } from '../../../../app/index.ts';
import type { Client } from '../../../../client/index.ts';
import { type BenchLine, endpoints } from '../../../../contract/index.ts';
import { HearthError } from '../../../../core/index.ts';
import { machineFacts } from '../../../bench/machine-facts.ts';
import { openLines, type RunningMonitor, startMonitor } from '../../../bench/monitor.ts';
import { testName } from '../../../bench/report-markdown.ts';
import { runSuite } from '../../../bench/suite.ts';
import { defineCommand, option } from '../../../command.ts';
import { table } from '../../../render/table.ts';

const SAMPLE_MS = 200;

export const benchRunCommand = defineCommand({
  name: 'bench run',
  group: 'Models',
  summary: 'Run a suite of cases over models, one report line for each',
  arguments: [{ name: 'models', schema: z.array(z.string()).optional().describe('models; without any, all that can answer here') }],
  options: {
    suite: option(
      z.enum(['smoke', 'standard'], { error: 'must be smoke or standard' }).default('smoke'),
      'smoke: load, prompt, stream, stop token, cleanup; standard: also several streams and a cancel',
      {
        value: '<name>',
      },
    ),
    repeat: option(
      z.coerce.number({ error: 'must be a number' }).int().min(1, { error: 'must be at least 1' }).max(1000).default(1),
      'rounds over all models',
      { value: '<n>' },
    ),
    report: option(z.string().min(1).optional(), 'write the lines to this file, as JSON lines', { value: '<file>' }),
    monitor: option(z.string().min(1).optional(), 'watch the machine meanwhile, into this file', { value: '<file>' }),
  },
  async run(context, args: { models: readonly string[] | undefined }, given) {
    const { client } = await context.connect();
    const models = args.models ?? (await answering(client, context.signal));
    if (models.length === 0) throw new HearthError('model_not_found', 'No model here can answer.');
    const facts = await machineFacts();
    const report = given.report === undefined ? null : await openLines(context.cwd, given.report);
    const samples = given.monitor === undefined ? null : await openLines(context.cwd, given.monitor);
    let monitor: RunningMonitor | null = null;
    if (samples !== null) monitor = startMonitor({ monitor: (await machine()).monitor, intervalMs: SAMPLE_MS, onSample: (sample) => samples.write(sample) });
    const lines: BenchLine[] = [];
    try {
      for (let round = 0; round < given.repeat; round += 1) {
        for (const model of models) {
          const onLine = async (line: BenchLine) => {
            await report?.write(line);
            context.output.notice(`${line.outcome.padEnd(7)} ${testName(line)} [${model}] ${(line.duration ?? 0).toFixed(2)} s`);
          };
          lines.push(...(await runSuite({ context, client, facts, model, suite: given.suite, onLine })));
        }
      }
    } finally {
      const summary = await monitor?.stop();
      if (summary !== undefined) await samples?.write({ summary });
      await samples?.close();
      await report?.close();
    }
    const count = (outcome: BenchLine['outcome']) => lines.filter((line) => line.outcome === outcome).length;
    const data = { suite: given.suite, models, cases: lines.length, passed: count('passed'), failed: count('failed'), skipped: count('skipped'), lines };
    return { data, exitCode: data.failed > 0 ? 1 : 0 };
  },
  render(data) {
    const rows = data.lines.map((line) => [
      testName(line),
      line.model?.id ?? '-',
      line.outcome,
      (line.duration ?? 0).toFixed(2),
      line.performance?.tokens_per_sec?.toFixed(1) ?? '-',
      reasonOf(line),
    ]);
    const columns = [
      { title: 'Test' },
      { title: 'Model' },
      { title: 'Outcome' },
      { title: 'Time (s)', align: 'right' as const },
      { title: 'Tokens/s', align: 'right' as const },
      { title: 'Reason' },
    ];
    return `${table(columns, rows)}\n\n${data.cases} cases: ${data.passed} passed, ${data.failed} failed, ${data.skipped} skipped.`;
  },
});

async function answering(client: Client, signal: AbortSignal): Promise<string[]> {
  const { data } = await client.call(endpoints.listModels, {}, { signal });
  return data.filter(({ capabilities }) => capabilities.includes('text-generation')).map(({ id }) => id);
}

function reasonOf(line: BenchLine): string {
  const error = line.metadata?.['error'] as { message?: unknown } | undefined;
  if (typeof error?.message === 'string') return error.message.slice(0, 80);
  return line.stop_tokens?.leaked === true ? `shows ${line.stop_tokens.detected?.join(' ')}` : '';
}
