import { resolve } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../../../core/index.ts';
import { plotHtml } from '../../../bench/plot-html.ts';
import { plotSvg } from '../../../bench/plot-svg.ts';
import { readMonitor, requireReport } from '../../../bench/report-file.ts';
import { defineCommand, option } from '../../../command.ts';

export const benchPlotCommand = defineCommand({
  name: 'bench plot',
  group: 'Models',
  summary: 'Draw what a monitor saw, with the cases of a report',
  arguments: [
    { name: 'memory', schema: z.string().describe('file of `bench monitor`, or of `bench run --monitor`') },
    { name: 'report', schema: z.string().optional().describe('file of `bench run --report`') },
  ],
  options: {
    output: option(z.string().min(1), 'file to write', { value: '<file>', short: 'o' }),
    format: option(z.enum(['html', 'svg'], { error: 'must be html or svg' }).optional(), 'html or svg (default: by the name of the file, else html)', {
      value: '<format>',
    }),
    title: option(z.string().min(1).default('hearth benchmark'), 'title over the chart', { value: '<text>' }),
  },
  async run(context, args: { memory: string; report: string | undefined }, given) {
    const { samples } = await readMonitor(context.cwd, args.memory);
    const lines = args.report === undefined ? [] : (await requireReport(context.cwd, args.report)).lines;
    const svg = plotSvg(samples, lines, given.title);
    const format = given.format ?? (given.output.toLowerCase().endsWith('.svg') ? 'svg' : 'html');
    await writeFileAtomic(resolve(context.cwd, given.output), format === 'svg' ? svg : plotHtml(svg, given.title), 0o644);
    return { data: { output: given.output, format, samples: samples.length, cases: lines.length } };
  },
  render: ({ output, samples, cases }) => `Wrote ${output}: ${samples} samples${cases === 0 ? '' : `, ${cases} cases`}.`,
});
