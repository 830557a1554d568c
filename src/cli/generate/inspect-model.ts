import { join, resolve } from 'node:path';
import type { Client } from '../../client/index.ts';
import { endpoints, type ShowData } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import type { Context } from '../context.ts';

/** A model as its files describe it; nothing is loaded. Paths are those of the command line. Throws model_not_found, ambiguous_match and the like. */
export async function inspectModel(context: Context, client: Client, name: string): Promise<ShowData> {
  return await client.call(endpoints.storeShow, { params: { ref: modelReference(context, name) } }, { signal: context.signal });
}

/** What is sent for a model's name: a path is the caller's own. Throws invalid_name for the empty one, which no route takes. */
export function modelReference(context: Pick<Context, 'cwd' | 'userHome'>, name: string): string {
  if (name === '') throw new HearthError('invalid_name', '"" is not a model name: it is empty.');
  return isPath(name) ? absolute(context, name) : name;
}

export const isPath = (name: string): boolean => /^(\.{1,2}(\/|$)|\/|~(\/|$))/.test(name);

export const absolute = (context: Pick<Context, 'cwd' | 'userHome'>, name: string): string =>
  resolve(context.cwd, name.startsWith('~') ? join(context.userHome, name.slice(1)) : name);
