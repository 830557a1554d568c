import { z } from 'zod';
import { endpoints } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, flag } from '../../command.ts';
import { plain } from '../../render/plain.ts';
import { formatSize } from '../../render/size.ts';

export const rmCommand = defineCommand({
  name: 'rm',
  group: 'Models',
  summary: 'Delete a model from the cache',
  arguments: [{ name: 'model', schema: z.string().describe('full name, or NAME@HASH for one snapshot') }],
  options: {
    force: flag('also by a part of the name, and in spite of download locks', { short: 'f' }),
    prune: flag('only what nothing uses: old snapshots, partial downloads', { hidden: true }),
  },
  async run(context, args: { model: string }, given) {
    if (given.prune) throw new HearthError('not_implemented', '`hearth rm --prune` is not part of this version yet.');
    const { client } = await context.connect();
    const query = given.force ? { force: 'true' as const } : {};
    const data = await client.call(endpoints.storeRemove, { params: { ref: args.model }, query }, { signal: context.signal });
    return { data };
  },
  render(data) {
    const freed = data.freed_bytes === undefined ? '' : `, ${formatSize(data.freed_bytes)} freed`;
    return plain(data.model === null || data.model === undefined ? (data.message ?? 'Deleted.') : `Deleted ${data.model}${freed}.`);
  },
});
