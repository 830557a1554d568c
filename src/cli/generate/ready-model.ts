import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Client } from '../../client/index.ts';
import { endpoints, type ResidentModel } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Context } from '../context.ts';
import { pullModel } from '../pull-model.ts';

/** Small, open, and named in the first line of the README: fetched without asking when it is not there. */
const STARTER_MODEL = 'smollm2-135m';

export interface ReadyModel {
  readonly model: ResidentModel;
  readonly loadMs: number;
}

/** Loads the model and waits for it. The starter model is pulled first when it is not here. */
export async function readyModel(context: Context, client: Client, name: string): Promise<ReadyModel> {
  const startedAt = performance.now();
  const load = async (): Promise<ResidentModel> => {
    const stop = showWaiting(context, `Loading ${name}`);
    try {
      const body = isPath(name) ? { path: absolute(context, name) } : { model: name };
      return await client.call(endpoints.loadModel, { body }, { signal: context.signal });
    } finally {
      stop();
    }
  };
  try {
    return { model: await load(), loadMs: performance.now() - startedAt };
  } catch (error) {
    if (!isMissing(error)) throw error;
    if (!isPath(name) && existsSync(join(context.cwd, name)))
      throw new HearthError('model_not_found', `No model here matches "${name}". For what lies in this directory, write ./${name}.`, { cause: error });
    if (name !== STARTER_MODEL) throw error;
  }
  context.output.notice(`${name} is not here yet; fetching it.`);
  await pullModel(context, client, { model: name, forceResume: true });
  const pulledAt = performance.now();
  return { model: await load(), loadMs: performance.now() - pulledAt };
}

const isPath = (name: string): boolean => /^(\.{1,2}(\/|$)|\/|~(\/|$))/.test(name);
const absolute = (context: Context, name: string): string => resolve(context.cwd, name.startsWith('~') ? join(context.userHome, name.slice(1)) : name);

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['model_not_found', 'model_not_cached', 'cache_not_found', 'snapshots_not_found'].includes(String(error.code));

/** A line that says what is waited for, when it takes longer than a moment; gone when it is over. */
function showWaiting(context: Context, text: string): () => void {
  if (!context.terminal.stderr || context.common.quiet) return () => {};
  let shown = false;
  const timer = setTimeout(() => {
    shown = true;
    context.output.stderr.write(`${text} …`);
  }, 300);
  return () => {
    clearTimeout(timer);
    if (shown) context.output.stderr.write('\r\x1b[2K');
  };
}
