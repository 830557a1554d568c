import { installPaths as pathsOf } from '../../core/index.ts';

/** Packages that the worker's modules import. */
const PACKAGES = ['@huggingface/jinja', '@huggingface/tokenizers'];

/** Directories that the worker's program is read from. */
export const installPaths = (installDirectory?: string): readonly string[] => pathsOf(PACKAGES, installDirectory);
