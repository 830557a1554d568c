import { z } from 'zod';
import { endpoints } from '../../../contract/index.ts';
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
    prune: flag('only what nothing uses: snapshots that no branch names, partial downloads'),
  },
  async run(context, args: { model: string }, given) {
    const { client } = await context.connect();
    const query = { ...(given.force ? { force: 'true' as const } : {}), ...(given.prune ? { prune: 'true' as const } : {}) };
    const data = await client.call(endpoints.storeRemove, { params: { ref: args.model }, query }, { signal: context.signal });
    return { data };
  },
  render(data, _context, given) {
    const freed = data.freed_bytes === undefined ? '' : `, ${formatSize(data.freed_bytes)} freed`;
    if (given.prune) return plain(data.message ?? 'Done.');
    return plain(data.model === null || data.model === undefined ? (data.message ?? 'Deleted.') : `Deleted ${data.model}${freed}.`);
  },
});
