import { HearthError } from '../core/index.ts';
import { type CatalogEntry, entrySchema } from './schema.ts';

/**
 * Checks a file of entries and sorts them by family, then parameters.
 * Errors: config_invalid, naming the file, the JSON pointer, and what was expected and found.
 */
export function parseCatalog(file: string, data: unknown): CatalogEntry[] {
  if (!Array.isArray(data)) throw invalid(file, '', 'expected an array of entries');
  const entries = data.map((value: unknown, index) => {
    const result = entrySchema.safeParse(value);
    if (result.success) return result.data;
    const issue = result.error.issues[0];
    throw invalid(file, pointer([index, ...(issue?.path ?? [])]), `${issue?.message ?? 'not an entry'}; found ${typeAt(value, issue?.path ?? [])}`);
  });
  const seen = new Set<string>();
  for (const [index, { id }] of entries.entries()) {
    if (seen.has(id)) throw invalid(file, pointer([index, 'id']), `"${id}" is listed twice`);
    seen.add(id);
  }
  return entries.sort((a, b) => (a.family === b.family ? a.paramsB - b.paramsB : a.family < b.family ? -1 : 1));
}

const invalid = (file: string, at: string, why: string): HearthError =>
  new HearthError('config_invalid', `${file}: ${at === '' ? '/' : at}: ${why}.`, { details: { file, pointer: at } });

/** RFC 6901. */
const pointer = (path: readonly PropertyKey[]): string => path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

function typeAt(value: unknown, path: readonly PropertyKey[]): string {
  let current: unknown = value;
  for (const part of path) current = typeof current === 'object' && current !== null ? (current as Record<PropertyKey, unknown>)[part] : undefined;
  return current === null ? 'null' : Array.isArray(current) ? 'array' : typeof current;
}
