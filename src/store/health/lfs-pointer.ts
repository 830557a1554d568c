import type { ModelView } from '../model-view.ts';

const MARK = 'version https://git-lfs.github.com/spec/v1';

/** Files that hold a Git LFS pointer in place of their content: below 200 bytes, with the mark in the first 100. */
export async function findPointers(view: ModelView, paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    const file = view.find(path);
    if (file === undefined || file.sizeBytes >= 200) continue;
    if (new TextDecoder('latin1').decode(await view.head(path, 100)).includes(MARK)) found.push(path);
  }
  return found;
}
