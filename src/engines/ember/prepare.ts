import { createHash } from 'node:crypto';
import { access, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { HearthError, isHearthError, type ModelFacts, makePrivateDirectory, systemError } from '../../core/index.ts';
import { CONVERTER_VERSION, importGguf } from '../../formats/index.ts';
import type { PreparedModel } from '../port.ts';
import { makeModelView } from './model-view.ts';

export interface PrepareOptions {
  /** Where imported GGUF models are kept: `<home>/converted`. */
  readonly convertedDirectory: string;
  /** Where view directories are made. */
  readonly viewRoot: string;
}

export type Prepare = (facts: ModelFacts, onProgress: (doneBytes: number, totalBytes: number) => void, signal: AbortSignal) => Promise<PreparedModel>;

/** Imports a GGUF file once (docs/spec/formats.md §8.4), and gives every model its view directory. */
export function createPrepare(options: PrepareOptions): Prepare {
  /** Imports that run now, by destination: the lock of one process. Between processes the rename at the end decides. */
  const running = new Map<string, Promise<void>>();

  async function imported(facts: ModelFacts, onProgress: (doneBytes: number, totalBytes: number) => void, signal: AbortSignal): Promise<string> {
    const file = await ggufFile(facts);
    const destination = join(options.convertedDirectory, await conversionKey(file));
    for (;;) {
      if (await isComplete(destination)) return destination;
      const other = running.get(destination);
      if (other === undefined) break;
      // Whether it succeeded is seen in the files; if its asker cancelled it, this one takes over.
      await other.catch(() => {});
      signal.throwIfAborted();
    }
    const run = importOnce(file, destination, onProgress, signal).finally(() => running.delete(destination));
    running.set(destination, run);
    await run;
    return destination;
  }

  async function importOnce(
    file: string,
    destination: string,
    onProgress: (doneBytes: number, totalBytes: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    await makePrivateDirectory(options.convertedDirectory);
    try {
      await importGguf(file, destination, { signal, onProgress: ({ doneBytes, totalBytes }) => onProgress(doneBytes, totalBytes) });
    } catch (error) {
      if (isHearthError(error) && error.code === 'cancelled') throw error;
      // Another process may have been faster.
      if (!(await isComplete(destination))) throw systemError(error, options.convertedDirectory) ?? error;
    }
  }

  return async (facts, onProgress, signal) => {
    const directory = facts.framework === 'GGUF' ? await imported(facts, onProgress, signal) : facts.directory;
    return { facts, directory: await makeModelView(directory, options.viewRoot), sourceDirectory: directory };
  };
}

async function ggufFile(facts: ModelFacts): Promise<string> {
  const files = facts.weightFiles.filter((file) => file.toLowerCase().endsWith('.gguf'));
  const [file] = files;
  if (file === undefined) throw new HearthError('model_load_failed', `${facts.directory} holds no GGUF file.`);
  if (files.length > 1)
    throw new HearthError(
      'variant_required',
      `${facts.directory} holds ${files.length} GGUF files (${files.map((f) => basename(f)).join(', ')}); name one of them.`,
    );
  return realpath(join(facts.directory, file));
}

/** Names the source by what its verified digest would change with: place, size and times. A blob of the hub's cache is named by its digest. */
async function conversionKey(file: string): Promise<string> {
  const { size, mtimeMs, ino } = await stat(file);
  const blob = /^[0-9a-f]{64}$/.test(basename(file)) && basename(dirname(file)) === 'blobs';
  const source = blob ? { digest: basename(file), size } : { file, size, mtimeMs, ino };
  const parts = JSON.stringify({ source, converter: CONVERTER_VERSION, options: {} });
  return createHash('sha256').update(parts).digest('hex').slice(0, 32);
}

const isComplete = (directory: string): Promise<boolean> =>
  access(join(directory, 'conversion.json')).then(
    () => true,
    () => false,
  );
