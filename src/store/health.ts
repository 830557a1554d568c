import { basename, join } from 'node:path';
import type { HealthData } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import { judge } from './judge.ts';
import { cachedModels, workspace } from './list.ts';
import { type Located, listWorkspaceHome, locate } from './locate.ts';
import { isExplicitPath, shortName } from './names.ts';
import type { StoreOptions } from './options.ts';

export interface HealthParameters {
  /** Without: all workspaces and all cached models that no workspace shadows. */
  readonly reference?: string;
  /** Parse weight headers and hash every file again. */
  readonly deep?: boolean;
  /** With deep: compare with the hub's digests. */
  readonly online?: boolean;
  readonly signal?: AbortSignal;
}

/** A report, not an error: no match gives total 0. Errors: ambiguous_match, hash_not_found, invalid_name. */
export async function health(options: StoreOptions, parameters: HealthParameters = {}): Promise<HealthData> {
  if (parameters.deep === true || parameters.online === true) {
    throw new HearthError('not_implemented', 'health --deep and --online are not built yet; without them the files are checked.');
  }
  const data: HealthData = { healthy: [], unhealthy: [], summary: { total: 0, healthy_count: 0, unhealthy_count: 0 } };
  for (const { located, name } of await subjects(options, parameters.reference)) {
    parameters.signal?.throwIfAborted();
    const verdict = (await judge(options, located)).health;
    const rows = verdict.healthy ? data.healthy : data.unhealthy;
    rows.push({ name, status: verdict.healthy ? 'healthy' : 'unhealthy', reason: verdict.reason });
  }
  const counts = { healthy_count: data.healthy.length, unhealthy_count: data.unhealthy.length };
  return { ...data, summary: { total: counts.healthy_count + counts.unhealthy_count, ...counts } };
}

async function subjects(options: StoreOptions, reference: string | undefined): Promise<{ readonly located: Located; readonly name: string }[]> {
  if (reference !== undefined) {
    try {
      const located = await locate(options, reference);
      return [{ located, name: located.kind === 'workspace' && !isExplicitPath(reference) ? basename(located.name) : located.name }];
    } catch (error) {
      if (error instanceof HearthError && error.code === 'model_not_found') return [];
      throw error;
    }
  }
  const names = await listWorkspaceHome(options);
  const workspaces = names.map((name) => ({ located: workspace(join(options.workspaceHome!, name)), name }));
  const cached = (await cachedModels(options)).filter((model) => !names.includes(shortName(model.name)));
  return [...workspaces, ...cached.map((located) => ({ located, name: located.name }))];
}
