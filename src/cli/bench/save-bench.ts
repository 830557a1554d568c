import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { HearthError, makePrivateDirectory, writeFileAtomic } from '../../core/index.ts';
import type { BenchData } from './bench-target.ts';

const resultSchema = z.looseObject({
  model_id: z.string(),
  quant: z.string().nullable(),
  engine: z.string(),
  prompt_tps: z.number().nullable(),
  gen_tps: z.number().nullable(),
  /** GiB; absent when it was not measured. */
  memory_gb: z.number().gt(0).optional(),
  context_tokens: z.int(),
  iterations: z.int(),
  at: z.string(),
});

/** `state/benchmarks/<profile_id>.json`: the newest result of each model on this machine; `recommend` reads it. */
export const savedBenchSchema = z.looseObject({ version: z.literal(1), results: z.record(z.string(), resultSchema) });

/** Puts the result beside the others; answers the file. Throws execution_error for a file that is not ours. */
export async function saveBench(home: string, data: BenchData, at: Date): Promise<string> {
  const directory = join(home, 'state', 'benchmarks');
  const path = join(directory, `${data.profile_id}.json`);
  const before = await readFile(path, 'utf8').then(parse(path), (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return { version: 1 as const, results: {} };
    throw error;
  });
  const result = {
    model_id: data.model_id,
    quant: data.quant,
    engine: data.engine,
    prompt_tps: data.prompt_tps?.mean ?? null,
    gen_tps: data.gen_tps?.mean ?? null,
    ...(data.memory_gb === null ? {} : { memory_gb: data.memory_gb }),
    context_tokens: data.context_tokens,
    iterations: data.iterations,
    at: at.toISOString(),
  };
  const results = { ...before.results, [`${data.model_id}|${data.quant ?? 'none'}|${data.engine}`]: result };
  await makePrivateDirectory(directory);
  await writeFileAtomic(path, `${JSON.stringify({ ...before, results }, null, 2)}\n`);
  return path;
}

const parse = (path: string) => (text: string) => {
  try {
    return savedBenchSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new HearthError('execution_error', `${path} is not a file of saved benchmarks; move it away to start a new one.`, { cause: error });
  }
};
