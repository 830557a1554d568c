import { basename, dirname, relative } from 'node:path';
import { z } from 'zod';
import { endpoints, type ModelObject } from '../../../contract/index.ts';
import { defineCommand, flag } from '../../command.ts';
import { absolute, isPath } from '../../generate/inspect-model.ts';
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
    const { pattern } = args;
    const { client } = await context.connect();
    // A daemon has a working directory of its own.
    const path = pattern !== undefined && isPath(pattern) ? absolute(context, pattern) : null;
    const query = pattern === undefined ? {} : { pattern: path ?? pattern };
    const data = await client.call(endpoints.storeList, { query }, { signal: context.signal });
    return { data: path === null || pattern?.startsWith('/') ? data : { ...data, models: data.models.map((model) => shownFrom(path, model)) } };
  },
  render: (data, _context, given) => renderList(data, given, Date.now()),
});

/** A workspace as it was asked for: by its own name, or relative to the directory that was scanned. */
function shownFrom(path: string, model: ModelObject): ModelObject {
  const name = model.name === path ? basename(path) : relative(model.name.startsWith(`${path}/`) ? path : dirname(path), model.name);
  return { ...model, display_name: name };
}
