import { z } from 'zod';
import { endpoints } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag, option } from '../../command.ts';
import type { Context } from '../../context.ts';
import { printable } from '../../render/plain.ts';
import { formatSize } from '../../render/size.ts';
import { table } from '../../render/table.ts';

interface LogsData {
  readonly services?: readonly { readonly service: string; readonly sizeBytes: number; readonly modifiedAt: string; readonly archives: number }[];
  readonly service?: string;
  readonly lines?: readonly string[];
  readonly rotated?: boolean;
}

const wholeNumber = z.string().regex(/^\d{1,6}$/, { error: 'must be a whole number up to 999999' });

export const logsCommand = defineCommand({
  name: 'logs',
  group: 'Stack',
  summary: 'Show logs: without a service, which there are',
  arguments: [{ name: 'service', schema: z.string().min(1).optional().describe('such as `hearthd`') }],
  options: {
    tail: option(wholeNumber.default('50'), 'lines from the end', { value: '<n>' }),
    follow: flag('go on with lines as they come, until Ctrl-C', { short: 'f' }),
    all: flag('every line, from the oldest archive on'),
    rotate: flag('put the current file aside'),
    service: option(z.string().min(1).optional(), 'the same as the argument', { value: '<name>' }),
  },
  async run(context, args: { service?: string }, given): Promise<{ data: LogsData; silent?: boolean }> {
    const service = args.service ?? given.service;
    const { client } = await context.connect();
    const signal = { signal: context.signal };
    if (service === undefined) {
      if (given.follow || given.all || given.rotate) throw new HearthError('usage', 'Name the service whose log is meant; `hearth logs` lists them.');
      return { data: await client.call(endpoints.logs, {}, signal) };
    }
    if (given.rotate) {
      if (!(await client.call(endpoints.logRotate, { params: { service } }, signal)).rotated)
        throw new HearthError('execution_error', `The log of ${service} was not put aside: its daemon does not run, or writes elsewhere.`);
      return { data: { service, rotated: true } };
    }
    if (!given.follow && !given.all) return { data: await client.call(endpoints.logLines, { params: { service }, query: { tail: given.tail } }, signal) };
    if (context.common.json && given.follow) throw new HearthError('usage', '`--json` prints one document; a log that is followed has no end.');
    const lines: string[] = [];
    let files = 0;
    try {
      const events = client.stream(
        endpoints.logLines,
        { params: { service }, query: { tail: given.tail, ...(given.follow ? { follow: 'true' } : {}), ...(given.all ? { all: 'true' } : {}) } },
        signal,
      );
      for await (const event of events) {
        if ('file' in event) files += 1;
        if (context.common.json) lines.push(...('line' in event ? [event.line] : []));
        else show(context, event);
      }
    } catch (error) {
      // Ctrl-C is how following ends.
      if (!(given.follow && context.signal.aborted)) throw error;
    }
    if (given.all && files === 1) context.output.notice(`There are no archives of ${service} yet.`);
    return context.common.json ? { data: { service, lines } } : { data: { service }, silent: true };
  },
  render(data) {
    if (data.services !== undefined)
      return data.services.length === 0
        ? 'There are no logs yet.'
        : table(
            [{ title: 'Service' }, { title: 'Size', align: 'right' }, { title: 'Changed' }, { title: 'Archives', align: 'right' }],
            data.services.map((row) => [row.service, formatSize(row.sizeBytes), row.modifiedAt, String(row.archives)]),
          );
    if (data.rotated) return `The log of ${data.service} was put aside.`;
    return printable((data.lines ?? []).join('\n'));
  },
});

function show(context: Context, event: { readonly file: string } | { readonly line: string }): void {
  context.output.text('file' in event ? `==> ${event.file} <==\n` : `${printable(event.line)}\n`);
}
