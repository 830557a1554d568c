import { parseArgs } from 'node:util';
import { programUrl } from '../../../core/index.ts';
import { createRankThreads } from '../../../ember/index.ts';

/**
 * Start of ember's child process. The compute threads come first: they start on other cores while this one finds, reads and runs all else, which is
 * why the rest is a program of its own.
 */
const { values } = parseArgs({
  options: { 'model-directory': { type: 'string' }, ranks: { type: 'string' }, 'adapters-directory': { type: 'string' }, 'hearth-launch': { type: 'string' } },
});
const ranks = Number(values.ranks ?? 1);
const threads = createRankThreads(ranks);
const { serveModel } = (await import(programUrl(import.meta.url, './model-program').href)) as typeof import('./model-program.ts');
serveModel({ directory: values['model-directory'], ranks, threads, adaptersDirectory: values['adapters-directory'] ?? null });
