import { z } from 'zod';
import { endpoints } from '../../../contract/index.ts';
import { defineCommand, flag, onUnlessNo, option } from '../../command.ts';
import { plain } from '../../render/plain.ts';
import { followWork } from '../../workspace-progress.ts';

export const cloneCommand = defineCommand({
  name: 'clone',
  group: 'Models',
  summary: 'Copy a model into an editable workspace',
  arguments: [
    { name: 'model', schema: z.string().describe('catalog id, org/name, NAME:VARIANT, NAME@REVISION') },
    { name: 'target', schema: z.string().optional().describe('directory to make; a bare name lies in the workspace home') },
  ],
  options: {
    branch: option(z.string().optional(), 'branch, tag or commit, as @REVISION', { value: '<rev>' }),
    healthCheck: onUnlessNo('do not judge what was cloned'),
    fromHub: flag('fetch it although the cache has it'),
    forceResume: flag('use the complete download of an earlier try although it is not healthy'),
  },
  async run(context, args: { model: string; target?: string }, given) {
    const { client } = await context.connect();
    const body = {
      model: args.model,
      ...(args.target === undefined ? {} : { target: args.target }),
      ...(given.branch === undefined ? {} : { branch: given.branch }),
      ...(given.healthCheck ? {} : { healthCheck: false }),
      ...(given.fromHub ? { fromHub: true } : {}),
      ...(given.forceResume ? { forceResume: true } : {}),
      workingDirectory: context.cwd,
    };
    return { data: await followWork(context, client.stream(endpoints.storeClone, { body }, { signal: context.signal }), false) };
  },
  render(data) {
    const revision = data.commit_hash ? `@${data.commit_hash.slice(0, 7)}` : '';
    const health = data.health === 'unhealthy' ? `\nIt is not healthy: ${data.health_reason}. \`hearth convert\` repairs what can be repaired.` : '';
    return plain(`Cloned ${data.model}${revision} to ${data.target_dir}${data.message.endsWith('from the cache.') ? ', from the cache' : ''}.`) + plain(health);
  },
});
