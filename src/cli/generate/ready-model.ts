import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from '../../client/index.ts';
import { endpoints, type ResidentModel, type ShowData } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Context } from '../context.ts';
import { pullModel } from '../pull-model.ts';
import { absolute, inspectModel, isPath } from './inspect-model.ts';

/** Small, open, and named in the first line of the README: fetched without asking when it is not there. */
const STARTER_MODEL = 'smollm2-135m';

export interface ReadyModel {
  readonly model: ResidentModel;
  readonly loadMs: number;
}

export interface ModelWish {
  readonly name: string;
  /** Id of an engine; absent: chosen by the rules. */
  readonly engine?: string | undefined;
  /** Called with what the files say, before anything is loaded; what it throws keeps the model from being loaded. */
  readonly check: (shown: ShowData) => void | Promise<void>;
}

/** Finds the model, has it checked, loads it and waits for it. The starter model is pulled first when it is not here. */
export async function readyModel(context: Context, client: Client, { name, engine, check }: ModelWish): Promise<ReadyModel> {
  await check(await present(context, client, name));
  const startedAt = performance.now();
  const stop = showWaiting(context, `Loading ${name}`);
  try {
    const place = isPath(name) ? { path: absolute(context, name) } : { model: name };
    const body = { ...place, ...(engine === undefined ? {} : { engine }) };
    const model = await client.call(endpoints.loadModel, { body }, { signal: context.signal });
    return { model, loadMs: performance.now() - startedAt };
  } catch (error) {
    throw isPath(name) ? namedAsAsked(error, name) : error;
  } finally {
    stop();
  }
}

async function present(context: Context, client: Client, name: string): Promise<ShowData> {
  try {
    return await inspectModel(context, client, name);
  } catch (error) {
    if (!isMissing(error)) throw error;
    if (!isPath(name) && existsSync(join(context.cwd, name)))
      throw new HearthError('model_not_found', `No model here matches "${name}". For what lies in this directory, write ./${name}.`, { cause: error });
    if (name !== STARTER_MODEL) throw error;
  }
  context.output.notice(`${name} is not here yet; fetching it.`);
  await pullModel(context, client, { model: name, forceResume: true });
  return await inspectModel(context, client, name);
}

/** A refusal tells nobody where a model lies; who asked for it by its path knows. */
function namedAsAsked(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'model_refused' || !('details' in error)) return error;
  const details = error.details as Readonly<Record<string, unknown>>;
  const { model } = details;
  if (typeof model !== 'string') return error;
  return new HearthError('model_refused', error.message.replaceAll(model, path), { cause: error, details: { ...details, model: path } });
}

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
