import { basename, join } from 'node:path';
import type { HealthData } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import type { HealthVerdict } from './health/check-health.ts';
import { deepCheck, type ListedDigests } from './health/deep-check.ts';
import { fetchHubModel } from './hub/hub-client.ts';
import { type Judgement, judge } from './judge.ts';
import { cachedModels, workspace } from './list.ts';
import { type Located, listWorkspaceHome, locate } from './locate.ts';
import { isExplicitPath, shortName, validateHubName, validateRevision } from './names.ts';
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

/** A report, not an error: no match gives total 0. Errors: ambiguous_match, hash_not_found, invalid_name, invalid_argument; with `online` those of the hub. */
export async function health(options: StoreOptions, parameters: HealthParameters = {}): Promise<HealthData> {
  if (parameters.online === true && parameters.deep !== true)
    throw new HearthError('invalid_argument', '--online compares digests, so it goes together with --deep.');
  const data: HealthData = { healthy: [], unhealthy: [], summary: { total: 0, healthy_count: 0, unhealthy_count: 0 } };
  for (const { located, name } of await subjects(options, parameters.reference)) {
    parameters.signal?.throwIfAborted();
    const verdict = await check(options, await judge(options, located), parameters);
    const rows = verdict.healthy ? data.healthy : data.unhealthy;
    rows.push({ name, status: verdict.healthy ? 'healthy' : 'unhealthy', reason: verdict.reason });
  }
  const counts = { healthy_count: data.healthy.length, unhealthy_count: data.unhealthy.length };
  return { ...data, summary: { total: counts.healthy_count + counts.unhealthy_count, ...counts } };
}

async function check(options: StoreOptions, judgement: Judgement, parameters: HealthParameters): Promise<HealthVerdict> {
  if (!judgement.health.healthy || parameters.deep !== true) return judgement.health;
  const listed = parameters.online === true ? await listedDigests(options, judgement, parameters.signal) : null;
  return (await deepCheck(judgement.view, listed, parameters.signal)) ?? judgement.health;
}

/** The hub's digests of the revision that a snapshot, or a workspace's sentinel, names; null for a workspace of unknown origin. */
async function listedDigests(options: StoreOptions, judgement: Judgement, signal = new AbortController().signal): Promise<ListedDigests | null> {
  const name = judgement.located.kind === 'cache' ? judgement.located.name : judgement.model.origin;
  const revision = judgement.located.kind === 'cache' ? judgement.model.hash : judgement.sentinel?.['source_revision'];
  if (typeof name !== 'string' || typeof revision !== 'string') return null;
  validateHubName(name);
  validateRevision(revision);
  const { files } = await fetchHubModel(options, { name, revision, signal });
  return new Map(files.map((file) => [file.path, file]));
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
