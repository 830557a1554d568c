import { z } from 'zod';
import { endpoints } from '../../../contract/index.ts';
import { defineCommand, flag, option } from '../../command.ts';
import { formatSize } from '../../render/size.ts';
import { table } from '../../render/table.ts';

export const catalogCommand = defineCommand({
  name: 'catalog',
  group: 'Stack',
  summary: 'List the models that have a short name',
  arguments: [],
  options: {
    family: option(z.string().optional(), 'only this family', { value: '<name>' }),
    tag: option(z.string().optional(), 'only models with this tag', { value: '<tag>' }),
    toolCalling: flag('only models that call tools'),
  },
  async run(context, _args, given) {
    const { client } = await context.connect();
    const { entries } = await client.call(endpoints.catalog, {}, { signal: context.signal });
    const same = (a: string, b: string | undefined) => b === undefined || a.toLowerCase() === b.toLowerCase();
    const kept = entries.filter(
      (entry) =>
        same(entry.family, given.family) &&
        (given.tag === undefined || entry.tags.some((tag) => same(tag, given.tag))) &&
        (!given.toolCalling || entry.capabilities.toolCalling),
    );
    return { data: { entries: kept } };
  },
  render({ entries }) {
    if (entries.length === 0) return 'No model of the catalog fits.';
    const rows = entries.map((entry) => [
      entry.local ? '●' : '',
      entry.id,
      `${entry.paramsB}B`,
      [...new Set(entry.sources.map((source) => source.quant))].join(' '),
      entry.sources[0]?.sizeBytes ? formatSize(entry.sources[0].sizeBytes) : '—',
      tokens(entry.contextTokens),
      entry.licence.id + (entry.licence.gated ? ' (gated)' : ''),
    ]);
    const columns = [
      { title: '●' },
      { title: 'Id' },
      { title: 'Params', align: 'right' },
      { title: 'Quants' },
      { title: 'Size', align: 'right' },
      { title: 'Context', align: 'right' },
      { title: 'Licence' },
    ] as const;
    return `${table(columns, rows)}\n● is here. \`hearth pull ID\` fetches one.`;
  },
});

const tokens = (count: number): string => (count >= 1024 ? `${Math.round(count / 1024)}k` : String(count));
