import { resolve } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../../../core/index.ts';
import { readMonitor, readReport, requireReport } from '../../../bench/report-file.ts';
import { renderReport } from '../../../bench/report-markdown.ts';
import { defineCommand, option } from '../../../command.ts';

export const benchValidateCommand = defineCommand({
  name: 'bench validate',
  group: 'Models',
  summary: 'Check report files line by line against their schema',
  arguments: [{ name: 'files', schema: z.array(z.string()).min(1).describe('files of `bench run --report`') }],
  options: {},
  async run(context, args: { files: readonly string[] }) {
    const files = [];
    for (const path of args.files) {
      const { lines, problems } = await readReport(context.cwd, path);
      files.push({ file: path, valid: lines.length, problems });
    }
    return { data: { files }, exitCode: files.some(({ problems }) => problems.length > 0) ? 1 : 0 };
  },
  render: ({ files }) =>
    files
      .flatMap(({ file, valid, problems }) => [
        `${problems.length === 0 ? '✓' : '✗'} ${file}: ${valid} valid ${valid === 1 ? 'line' : 'lines'}${problems.length === 0 ? '' : `, ${problems.length} not valid`}`,
        ...problems.map(({ line, problem }) => `  line ${line}: ${problem}`),
      ])
      .join('\n'),
});

export const benchReportCommand = defineCommand({
  name: 'bench report',
  group: 'Models',
  summary: 'Print a report file as Markdown, alone or against an older one',
  arguments: [{ name: 'file', schema: z.string().describe('file of `bench run --report`') }],
  options: {
    compare: option(z.string().min(1).optional(), 'older report to compare with', { value: '<file>' }),
    memory: option(z.string().min(1).optional(), 'file of a monitor that ran meanwhile', { value: '<file>' }),
    output: option(z.string().min(1).optional(), 'write the report there', { value: '<file>', short: 'o' }),
  },
  async run(context, args: { file: string }, given) {
    const report = await requireReport(context.cwd, args.file);
    const compare = given.compare === undefined ? undefined : await requireReport(context.cwd, given.compare);
    const memory = given.memory === undefined ? undefined : { path: given.memory, samples: (await readMonitor(context.cwd, given.memory)).samples };
    const markdown = renderReport(report, { now: new Date(), ...(compare === undefined ? {} : { compare }), ...(memory === undefined ? {} : { memory }) });
    if (given.output !== undefined) await writeFileAtomic(resolve(context.cwd, given.output), markdown, 0o644);
    return { data: { cases: report.lines.length, output: given.output ?? null, markdown } };
  },
  render: ({ markdown, output }) => (output === null ? markdown : `Wrote ${output}.`),
});
