import { z } from 'zod';
import type { Client } from '../../../../client/index.ts';
import { endpoints, type ShowData } from '../../../../contract/index.ts';
import { HearthError } from '../../../../core/index.ts';
import { type BenchData, benchTarget, type Reference } from '../../../bench/bench-target.ts';
import { machineFacts } from '../../../bench/machine-facts.ts';
import { saveBench } from '../../../bench/save-bench.ts';
import { defineCommand, flag, option } from '../../../command.ts';
import { checkWish } from '../../../generate/check-wish.ts';
import { readyModel } from '../../../generate/ready-model.ts';
import { table } from '../../../render/table.ts';

export const benchTargetCommand = defineCommand({
  name: 'bench target',
  isDefault: true,
  group: 'Models',
  summary: 'Measure how fast a model reads and writes (`hearth bench MODEL` does the same)',
  arguments: [{ name: 'target', schema: z.string().describe('catalog id or model') }],
  options: {
    iterations: option(
      z.coerce.number({ error: 'must be a number' }).int().min(1, { error: 'must be at least 1' }).max(100).default(3),
      'measurements after the warm-up',
      {
        value: '<n>',
      },
    ),
    save: flag('keep the result for `hearth recommend`'),
    failOn: option(z.enum(['warn', 'fail'], { error: 'must be warn or fail' }).optional(), 'exit 1 when it is this much slower than the catalog says', {
      value: '<class>',
    }),
  },
  async run(context, args: { target: string }, given) {
    const { client } = await context.connect();
    const before = await client.call(endpoints.residentModels, {}, { signal: context.signal });
    let shown: ShowData | null = null;
    const ready = await readyModel(context, client, {
      name: args.target,
      check(found) {
        shown = found;
        checkWish({ name: args.target, images: false, audio: false, translate: undefined }, found, null);
      },
    });
    const wasLoaded = before.models.some(({ id, state }) => id === ready.model.id && (state === 'ready' || state === 'busy'));
    try {
      const facts = await machineFacts();
      const { quant, reference } = await fromCatalog(client, args.target, ready.model.id, facts.profileId, ready.model.engine);
      const measured = await benchTarget({
        context,
        client,
        ready,
        target: args.target,
        iterations: given.iterations,
        quant: quant ?? (shown as ShowData | null)?.metadata?.quantization ?? null,
        profileId: facts.profileId,
        reference,
        peakMemoryBytes: async (pid) => (await facts.memory(pid))?.peakBytes ?? null,
      });
      const data: BenchData = given.save ? { ...measured, saved_to: await saveBench(context.home, measured, new Date()) } : measured;
      const met = data.class === 'FAIL' || (data.class === 'WARN' && given.failOn === 'warn');
      return { data, exitCode: given.failOn !== undefined && met ? 1 : 0 };
    } finally {
      // What was started for the measurement ends with it; in this process everything ends with the command.
      if (!wasLoaded) await client.call(endpoints.unloadModel, { body: { model: ready.model.id, force: true } }).catch(() => {});
    }
  },
  render: renderBench,
});

/** The quant of the catalog's source that this model is, and what the catalog measured on a machine like this one. */
async function fromCatalog(
  client: Client,
  target: string,
  modelId: string,
  profileId: string,
  engine: string | null,
): Promise<{ readonly quant: string | null; readonly reference: Reference | null }> {
  const { entries } = await client.call(endpoints.catalog, {});
  const entry = entries.find(({ id, sources }) => id === target.toLowerCase() || sources.some(({ repo }) => repo === modelId));
  const quant = entry?.sources.find(({ repo }) => repo === modelId)?.quant ?? null;
  const rows = z
    .array(z.looseObject({ profileId: z.string(), engine: z.string(), quant: z.string(), decodeTps: z.number(), promptTps: z.number().nullable() }))
    .safeParse(entry?.['benchmarks']);
  const row = rows.data?.find((one) => one.profileId === profileId && one.engine === engine && one.quant === quant);
  return { quant, reference: row === undefined ? null : { decodeTps: row.decodeTps, promptTps: row.promptTps } };
}

function renderBench(data: BenchData): string {
  if (data.runs.length === 0) throw new HearthError('execution_error', 'Nothing was measured.');
  const cell = (value: number | null): string => (value === null ? '-' : value.toFixed(1));
  const head = `${data.model_id}${data.quant === null ? '' : ` (${data.quant})`} on ${data.engine}${data.device === null ? '' : `, ${data.device}`}; loaded in ${data.load_s.toFixed(1)} s`;
  const rows = data.runs.map((run, i) => [
    String(i + 1),
    String(run.prompt_tokens),
    run.time_to_first_token_s === null ? '-' : run.time_to_first_token_s.toFixed(2),
    cell(run.prompt_tps),
    String(run.completion_tokens),
    cell(run.gen_tps),
  ]);
  const columns = [
    { title: 'Run' },
    ...['Prompt', 'First token (s)', 'Prompt tok/s', 'Answer', 'Decode tok/s'].map((title) => ({ title, align: 'right' as const })),
  ];
  const spread = (value: BenchData['gen_tps']): string => (value === null ? 'not measured' : `${value.mean.toFixed(1)} ± ${value.deviation.toFixed(1)} tok/s`);
  const verdict = data.class === null ? 'none (the catalog has no figure for this machine)' : `${data.class} (catalog: ${data.reference?.decodeTps} tok/s)`;
  return [
    head,
    '',
    table(columns, rows),
    '',
    `Prompt:  ${spread(data.prompt_tps)}`,
    `Decode:  ${spread(data.gen_tps)}`,
    `Memory:  ${data.memory_gb === null ? 'not known' : `${data.memory_gb.toFixed(2)} GiB at its peak`}`,
    `Tools:   ${data.calls_tools === null ? 'the model takes none' : data.calls_tools ? 'called get_weather' : 'did not call get_weather'}`,
    `Class:   ${verdict}`,
    ...(data.saved_to === undefined ? [] : [`Saved:   ${data.saved_to}`]),
  ].join('\n');
}
