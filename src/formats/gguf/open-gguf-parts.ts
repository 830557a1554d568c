import { basename, dirname, join } from 'node:path';
import { HearthError } from '../../core/index.ts';
import { type GgufTensor, ggufNumber } from './header.ts';
import { type GgufFile, openGguf } from './open-gguf.ts';

const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** Paths of all parts of the split model that this file is a part of, in order; just the path itself for a file that stands alone. */
export function ggufPartPaths(path: string): string[] {
  const [, stem, , count] = PART.exec(basename(path)) ?? [];
  if (stem === undefined || Number(count) < 1) return [path];
  return Array.from({ length: Number(count) }, (_, i) => join(dirname(path), `${stem}-${String(i + 1).padStart(5, '0')}-of-${count}.gguf`));
}

/**
 * Opens a GGUF model: one file, or all parts of a split one (`-00001-of-0000N.gguf`, docs/spec/formats.md §6) as if they were one file. The
 * keys are those of the first part. Throws `gg_*`: `gg_split` where parts do not belong together, `gg_name_duplicate`, `gg_read_failed` for a
 * part that is missing.
 */
export async function openGgufModel(path: string): Promise<GgufFile> {
  const paths = ggufPartPaths(path);
  if (paths.length === 1) return openGguf(paths[0]!);
  const parts: GgufFile[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(parts.map((part) => part.close()));
  };
  try {
    for (const part of paths) parts.push(await openGguf(part));
    return oneFile(parts, close);
  } catch (error) {
    await close();
    throw error;
  }
}

function oneFile(parts: readonly GgufFile[], close: () => Promise<void>): GgufFile {
  const first = parts[0]!;
  const home = new Map<string, GgufFile>();
  const tensors = new Map<string, GgufTensor>();
  for (const part of parts) {
    for (const tensor of part.header.tensors.values()) {
      if (home.has(tensor.name)) throw new HearthError('gg_name_duplicate', `${part.path}: the tensor ${tensor.name} is in another part too.`);
      home.set(tensor.name, part);
      tensors.set(tensor.name, tensor);
    }
  }
  const total = ggufNumber(first.header, 'split.tensors.count');
  if (total !== undefined && total !== tensors.size)
    throw new HearthError('gg_split', `${first.path}: split.tensors.count is ${total}, but the ${parts.length} parts hold ${tensors.size} tensors.`);
  return {
    path: first.path,
    sizeBytes: parts.reduce((sum, part) => sum + part.sizeBytes, 0),
    header: { ...first.header, tensors },
    readTensor(name, options) {
      const part = home.get(name);
      if (part === undefined) throw new HearthError('gg_read_failed', `${first.path} and its other parts have no tensor ${name}.`);
      return part.readTensor(name, options);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
