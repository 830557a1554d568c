import { z } from 'zod';
import { endpoints } from '../../../contract/index.ts';
import { defineCommand, flag } from '../../command.ts';
import { renderList } from '../../render/model-list.ts';

const options = {
  all: flag('also models that are broken or cannot run here, with more columns', { short: 'a' }),
  health: flag('add whether the files are whole and the model can run'),
  verbose: flag('full names and more columns', { short: 'v' }),
};

export const listCommand = defineCommand({
  name: 'list',
  group: 'Models',
  summary: 'List the models that are here',
  arguments: [{ name: 'pattern', schema: z.string().optional().describe('part of the name, or a path such as ./') }],
  options,
  async run(context, args: { pattern: string | undefined }) {
    const { client } = await context.connect();
    const query = args.pattern === undefined ? {} : { pattern: args.pattern };
    const data = await client.call(endpoints.storeList, { query }, { signal: context.signal });
    return { data };
  },
  render: (data, _context, given) => renderList(data, given, Date.now()),
});
