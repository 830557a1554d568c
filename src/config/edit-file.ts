import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, parseDocument } from 'yaml';
import { HearthError, makePrivateDirectory, writeFileAtomic, writeManagedFile } from '../core/index.ts';
import type { ConfigKey } from './keys.ts';
import { fromText, load, reason } from './load.ts';
import { findConfigFile } from './user-file.ts';

const KEPT_BACKUPS = 10;

export interface ConfigEdit {
  readonly path: string;
  readonly value: unknown;
}

/**
 * Sets one key in the user's file, comments and order kept, and keeps the earlier version in `config.backups`.
 * The whole result is validated first; on an error the file stays as it is, byte for byte. Errors: invalid_value, config_invalid.
 */
export async function setInFile(home: string, key: ConfigKey, text: string, now: Date): Promise<ConfigEdit> {
  const value = text === 'null' && key.schema.safeParse(null).success ? null : fromText(key, text);
  const { error } = key.schema.safeParse(value);
  if (error !== undefined)
    throw new HearthError(
      'invalid_value',
      isPlain(value)
        ? `${key.name} must be ${key.allowed}, and this is "${text}".${key.schema.safeParse({}).success ? ' Write it as JSON, such as {"name": …}.' : ''}`
        : `${key.name} ${reason(key, error)}`,
    );
  const file = findConfigFile(home);
  const path = file?.path ?? join(home, 'config.yaml');
  const before = file?.text ?? '';
  if (file !== undefined) await load({ userFile: file }); // a broken file is mended by hand first
  const after = path.endsWith('.json') ? editJson(before, key, value) : editYaml(before, key, value);
  await load({ userFile: { path, text: after } });
  await makePrivateDirectory(home);
  if (file !== undefined) await backUp(home, path, before, now);
  await writeManagedFile(path, after);
  return { path, value };
}

const isPlain = (value: unknown): boolean => typeof value !== 'object' || value === null;

function editYaml(text: string, key: ConfigKey, value: unknown): string {
  const document = parseDocument(text);
  if (!isMap(document.contents)) document.contents = document.createNode({}) as never;
  key.path.slice(0, -1).forEach((_, i) => {
    // A group without keys (`serve:`) is read as null; it becomes a group again.
    const group = key.path.slice(0, i + 1);
    if (!isMap(document.getIn(group, true))) document.setIn(group, document.createNode({}));
  });
  // A plain value goes into the node that is there, which keeps its comment.
  document.setIn(key.path, isPlain(value) ? value : document.createNode(value));
  return document.toString();
}

function editJson(text: string, key: ConfigKey, value: unknown): string {
  const tree = (text.trim() === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
  let node = tree;
  for (const name of key.path.slice(0, -1)) {
    if (typeof node[name] !== 'object' || node[name] === null) node[name] = {};
    node = node[name] as Record<string, unknown>;
  }
  node[key.path.at(-1)!] = value;
  return `${JSON.stringify(tree, null, 2)}\n`;
}

async function backUp(home: string, path: string, text: string, now: Date): Promise<void> {
  const folder = join(home, 'config.backups');
  await makePrivateDirectory(folder);
  const extension = path.slice(path.lastIndexOf('.'));
  await writeFileAtomic(join(folder, `${now.toISOString().replace(/[:.]/g, '-')}${extension}`), text);
  const names = readdirSync(folder)
    .filter((name) => /^\d{4}-.*\.(yaml|json)$/.test(name))
    .sort();
  for (const name of names.slice(0, -KEPT_BACKUPS)) unlinkSync(join(folder, name));
}
