import { z } from 'zod';
import { HearthError } from '../../../core/index.ts';
import { askYesNo } from '../../ask.ts';
import { benchAfterPull } from '../../bench-after-pull.ts';
import { type Command, defineCommand, flag, option } from '../../command.ts';
import { pullModel } from '../../pull-model.ts';
import { plain } from '../../render/plain.ts';
import { formatSize } from '../../render/size.ts';

const list = z.array(z.string()).default([]);

/** `commands` gives every verb: `--bench` runs another one. */
export const pullCommand = (commands: () => readonly Command[]) =>
  defineCommand({
    name: 'pull',
    group: 'Models',
    summary: 'Fetch a model into the cache',
    arguments: [{ name: 'model', schema: z.string().describe('catalog id, org/name, NAME:VARIANT, NAME@REVISION') }],
    options: {
      revision: option(z.string().optional(), 'branch, tag or commit', { value: '<rev>' }),
      include: option(list, 'only files that match', { value: '<glob>', repeatable: true }),
      exclude: option(list, 'no files that match', { value: '<glob>', repeatable: true }),
      quant: option(z.string().optional(), 'which source of a catalog model, such as int4', { value: '<q>' }),
      update: flag('ask the hub for a newer revision'),
      force: flag('download again', { short: 'f' }),
      forceResume: flag('go on with an incomplete download without asking'),
      workers: option(z.coerce.number().int().min(1).max(16).default(4), 'files at a time', { value: '<n>' }),
      bench: flag('measure the speed afterwards'),
    },
    async run(context, args: { model: string }, given) {
      const [name = '', revision] = args.model.split('@');
      if (revision !== undefined && given.revision !== undefined && revision !== given.revision)
        throw new HearthError('usage', `"${plain(args.model)}" names a revision, and --revision another one; give one of them.`);
      const { client } = await context.connect();
      const body = {
        model: given.revision === undefined ? args.model : name,
        workers: given.workers,
        ...(given.revision === undefined ? {} : { revision: given.revision }),
        ...(given.include.length === 0 ? {} : { include: given.include }),
        ...(given.exclude.length === 0 ? {} : { exclude: given.exclude }),
        ...(given.quant === undefined ? {} : { quant: given.quant }),
        ...(given.update ? { update: true } : {}),
        ...(given.force ? { force: true } : {}),
        ...(given.forceResume ? { forceResume: true } : {}),
      };
      const pull = async (more: { forceResume?: boolean } = {}) => {
        const data = await pullModel(context, client, { ...body, ...more });
        if (given.bench) await benchAfterPull(context, commands(), data.model ?? args.model);
        return { data };
      };
      try {
        return await pull();
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'requires_confirmation')) throw error;
        const resume = await askYesNo(context, `${plain(args.model)} is here but not whole. Resume download?`);
        if (resume === null) throw error;
        if (!resume) throw new HearthError('cancelled', 'Nothing was downloaded.');
        return await pull({ forceResume: true });
      }
    },
    render(data) {
      const name = plain(data.expanded_name ?? data.model ?? '');
      if (data.download_status === 'already_exists') return `${name} is here already.`;
      if (data.download_status !== 'success') return plain(data.message);
      const size = data.bytes_downloaded === undefined ? '' : ` (${formatSize(data.bytes_downloaded)})`;
      return `Pulled ${name}${data.commit_hash ? `@${data.commit_hash.slice(0, 7)}` : ''}${size}.`;
    },
  });
