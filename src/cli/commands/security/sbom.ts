import { z } from 'zod';
import { endpoints, type ShowData } from '../../../contract/index.ts';
import { HearthError } from '../../../core/index.ts';
import { defineCommand, option } from '../../command.ts';
import { withByteCount } from '../../render/byte-count.ts';

export const sbomCommand = defineCommand({
  name: 'sbom',
  group: 'Security',
  summary: 'Print the bill of materials: packages, Python environment, machine code, models',
  arguments: [],
  options: {
    format: option(z.enum(['cyclonedx', 'spdx']).default('cyclonedx'), 'standard: CycloneDX, or SPDX 2.3', { value: '<name>' }),
    spec: option(z.enum(['1.6', '1.7']).optional(), 'version of CycloneDX (default: 1.6)', { value: '<version>' }),
    model: option(z.string().optional(), 'the bill of this model alone', { value: '<name>' }),
  },
  async run(context, _args, { format, spec, model }) {
    if (format === 'spdx' && spec !== undefined) throw new HearthError('usage', '--spec chooses a version of CycloneDX; SPDX is written as 2.3.');
    const { billOfMaterials } = await import('../../../app/index.ts');
    const { config } = await context.loadConfig();
    const { client } = await context.connect();
    const { signal, home, userHome, env, cwd, version } = context;
    const names =
      model === undefined
        ? (await client.call(endpoints.storeList, { query: {} }, { signal })).models.map(({ name, hash, cached }) =>
            cached && hash !== null ? `${name}@${hash}` : name,
          )
        : [model];
    const models: ShowData[] = [];
    for (const ref of names) models.push(await client.call(endpoints.storeShow, { params: { ref }, query: {} }, { signal }));
    const form = format === 'spdx' ? ({ kind: 'spdx' } as const) : ({ kind: 'cyclonedx', version: spec ?? '1.6' } as const);
    const places = { config, home, userHome, env, cwd, version };
    const data = await withByteCount(context, 'Hashing', async (onProgress) =>
      billOfMaterials({ ...places, models, onlyModel: model !== undefined, form, signal, onProgress }),
    );
    return { data };
  },
  // A document for other programs, with and without --json.
  render: (data) => JSON.stringify(data, null, 2),
});
