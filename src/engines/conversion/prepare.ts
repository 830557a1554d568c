import { access, chmod, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isHearthError, type ModelFacts, makePrivateDirectory, systemError } from '../../core/index.ts';
import { makeModelView } from '../model-text/model-view.ts';
import type { PreparedModel } from '../port.ts';
import { type Conversion, type ConversionOptions, conversionOf, convertedFacts } from './conversion.ts';

export interface PrepareOptions {
  /** Where converted models are kept: `<home>/converted`. */
  readonly convertedDirectory: string;
  /** Where view directories are made. */
  readonly viewRoot: string;
}

export type Prepare = (
  facts: ModelFacts,
  onProgress: (doneBytes: number, totalBytes: number) => void,
  signal: AbortSignal,
  options: ConversionOptions,
) => Promise<PreparedModel>;

interface Converted {
  readonly directory: string;
  /** Written by this very call. */
  readonly fresh: boolean;
}

/** Converts what is no MLX checkpoint once, and gives every model its view directory. */
export function createPrepare(options: PrepareOptions): Prepare {
  /** Conversions that run now, by destination: the lock of one process. Between processes the rename at the end decides. */
  const running = new Map<string, Promise<unknown>>();

  async function converted(conversion: Conversion, onProgress: (doneBytes: number, totalBytes: number) => void, signal: AbortSignal): Promise<Converted> {
    const destination = join(options.convertedDirectory, conversion.key);
    for (;;) {
      if (await isComplete(destination)) return { directory: destination, fresh: false };
      const other = running.get(destination);
      if (other === undefined) break;
      // Whether it succeeded is seen in the files; if its asker cancelled it, this one takes over.
      await other.catch(() => {});
      signal.throwIfAborted();
    }
    const run = convertOnce(conversion, destination, onProgress, signal).finally(() => running.delete(destination));
    running.set(destination, run);
    return { directory: destination, fresh: await run };
  }

  /** False: another process was faster. */
  async function convertOnce(
    conversion: Conversion,
    destination: string,
    onProgress: (doneBytes: number, totalBytes: number) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    await makePrivateDirectory(options.convertedDirectory);
    try {
      await conversion.run(destination, onProgress, signal);
      // Made under the umask of whoever asked: in the home every file is for its owner alone.
      for (const name of await readdir(destination)) await chmod(join(destination, name), 0o600);
      return true;
    } catch (error) {
      if (isHearthError(error) && error.code === 'cancelled') throw error;
      if (!(await isComplete(destination))) throw systemError(error, options.convertedDirectory) ?? error;
      return false;
    }
  }

  return async (facts, onProgress, signal, { quantize }) => {
    const conversion = await conversionOf(facts, { quantize });
    const { directory, fresh } = conversion === null ? { directory: facts.directory, fresh: false } : await converted(conversion, onProgress, signal);
    return {
      facts: conversion === null ? facts : await convertedFacts(facts, directory),
      directory: await makeModelView(directory, options.viewRoot),
      sourceDirectory: directory,
      converted: fresh,
    };
  };
}

const isComplete = (directory: string): Promise<boolean> =>
  access(join(directory, 'conversion.json')).then(
    () => true,
    () => false,
  );
