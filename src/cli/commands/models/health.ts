import { z } from 'zod';
import { endpoints, type HealthData, type ModelObject } from '../../../contract/index.ts';
import { defineCommand, flag } from '../../command.ts';
import { modelReference } from '../../generate/inspect-model.ts';
import { plain } from '../../render/plain.ts';

export const healthCommand = defineCommand({
  name: 'health',
  group: 'Models',
  summary: 'Check whether the files of models are whole',
  arguments: [{ name: 'model', schema: z.string().optional().describe('one model; without it all') }],
  options: {
    strict: flag('exit with 4 when a model is not healthy'),
    deep: flag('read weight headers and hash every file again'),
    online: flag('with --deep: compare with what the hub lists'),
  },
  async run(context, args: { model: string | undefined }, given) {
    const { client } = await context.connect();
    const query = { ...(given.deep ? { deep: 'true' as const } : {}), ...(given.online ? { online: 'true' as const } : {}) };
    const check = (ref: string) => client.call(endpoints.storeHealth, { params: { ref }, query }, { signal: context.signal });
    let data: HealthData;
    if (args.model !== undefined) data = await check(modelReference(context, args.model));
    else {
      const { models } = await client.call(endpoints.storeList, {}, { signal: context.signal });
      const reports: HealthData[] = [];
      for (const model of withoutShadowed(models)) reports.push(named(await check(model.name), model.display_name ?? model.name));
      data = merge(reports);
    }
    return { data, ...(given.strict && data.unhealthy.length > 0 ? { exitCode: 4 } : {}) };
  },
  render({ healthy, unhealthy, summary }) {
    const rows = [...healthy, ...unhealthy]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((row) => `${row.status.padEnd(9)} ${plain(row.name)} — ${plain(row.reason)}`);
    if (summary.total === 1) return rows.join('\n');
    return [`Summary: total ${summary.total}, healthy ${summary.healthy_count}, unhealthy ${summary.unhealthy_count}`, ...rows].join('\n');
  },
});

/** A workspace stands for the cache model of the same short name. */
function withoutShadowed(models: readonly ModelObject[]): readonly ModelObject[] {
  const short = (name: string) => name.slice(name.lastIndexOf('/') + 1);
  const workspaces = new Set(models.filter((model) => !model.cached).map((model) => short(model.name)));
  return models.filter((model) => !model.cached || !workspaces.has(short(model.name)));
}

/** Workspaces of the home are told by their short names; the check was asked for by path. */
const named = (report: HealthData, name: string): HealthData => ({
  ...report,
  healthy: report.healthy.map((entry) => ({ ...entry, name })),
  unhealthy: report.unhealthy.map((entry) => ({ ...entry, name })),
});

function merge(reports: readonly HealthData[]): HealthData {
  const healthy = reports.flatMap((report) => report.healthy);
  const unhealthy = reports.flatMap((report) => report.unhealthy);
  return { healthy, unhealthy, summary: { total: healthy.length + unhealthy.length, healthy_count: healthy.length, unhealthy_count: unhealthy.length } };
}
