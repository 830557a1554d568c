import { createHash, randomBytes } from 'node:crypto';
import { readdir, readlink, realpath, rename, stat, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { makePrivateDirectory } from '../../core/index.ts';
import { POOLING_FILE } from './pooling-file.ts';

/** Files of a checkpoint that a worker may need. Anything else, such as code, stays out of its sight. */
const WANTED = /\.(json|safetensors|jinja|model|txt)$/;

/**
 * A directory of symlinks to the files of a model: the only one that its worker may read (docs/spec/security.md §6). Its name tells nothing of
 * the model, so no process description holds a repository name. Links that lead elsewhere than now are replaced, others removed.
 */
export async function makeModelView(directory: string, viewRoot: string): Promise<string> {
  const source = await realpath(directory);
  const view = join(viewRoot, createHash('sha256').update(source).digest('hex').slice(0, 32));
  await makePrivateDirectory(view);
  const wanted = new Map<string, string>();
  for (const name of await readdir(source)) {
    if (!WANTED.test(name)) continue;
    const target = await realpath(join(source, name));
    if ((await stat(target)).isFile()) wanted.set(name, target);
  }
  const pooling = await realpath(join(source, '1_Pooling', 'config.json')).catch(() => null);
  if (pooling !== null && (await stat(pooling)).isFile()) wanted.set(POOLING_FILE, pooling);
  for (const name of await readdir(view)) if (!wanted.has(name) && !name.startsWith('.')) await unlink(join(view, name)).catch(() => {});
  for (const [name, target] of wanted) {
    const link = join(view, name);
    if ((await readlink(link).catch(() => null)) === target) continue;
    const temporary = join(view, `.${randomBytes(8).toString('hex')}`);
    await symlink(target, temporary);
    await rename(temporary, link);
  }
  return view;
}
