import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { rawFile, tensor } from '../../../test/support/gguf-bytes.ts';
import { decodeBlocks, openGguf } from '../gguf/index.ts';
import { openCheckpoint } from '../mlx/index.ts';
import { openSafetensors } from '../safetensors/index.ts';

// Files of more than 4 GiB that take some kilobytes of the disk: all but their ends are holes, which read as zeros.
const root = await mkdtemp(join(tmpdir(), 'hearth-large-'));
afterAll(() => rm(root, { recursive: true }));

const GIB = 2 ** 30;
const [ROWS, COLUMNS] = [2 ** 18 + 8, 4096];
const BYTES = ROWS * COLUMNS * 4;
const LAST = Float32Array.from({ length: COLUMNS }, (_, i) => i / 64 - 20);

/** A file of `sizeBytes` that begins with `head`, and holds the numbers of `ends` before each of the places. */
async function sparse(path: string, head: Uint8Array, sizeBytes: number, ends: readonly number[]): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.truncate(sizeBytes);
    await file.write(head, 0, head.length, 0);
    for (const end of ends) await file.write(new Uint8Array(LAST.buffer), 0, LAST.byteLength, end - LAST.byteLength);
  } finally {
    await file.close();
  }
}

function safetensorsHead(tensors: Readonly<Record<string, readonly [from: number, shape: readonly number[]]>>): Buffer {
  const entries = Object.entries(tensors).map(([name, [from, shape]]) => {
    const bytes = shape.reduce((product, dimension) => product * dimension, 4);
    return [name, { dtype: 'F32', shape, data_offsets: [from, from + bytes] }];
  });
  const json = JSON.stringify(Object.fromEntries(entries));
  const text = json.padEnd(Math.ceil(json.length / 8) * 8);
  const head = Buffer.alloc(8 + text.length, text);
  head.writeBigUInt64LE(BigInt(text.length));
  head.write(text, 8);
  return head;
}

const ggufHead = (): Buffer =>
  rawFile({ tensors: [tensor('token_embd.weight', [COLUMNS, ROWS], 0, 0), tensor('output.weight', [COLUMNS, 1], 0, BYTES)], dataBytes: 0 });

describe('files of more than 4 GiB', () => {
  test('[formats F38] safetensors: rows past 4 GiB of a tensor, and a tensor past 4 GiB, are read where they lie', async () => {
    const path = join(root, 'large.safetensors');
    const head = safetensorsHead({ big: [0, [ROWS, COLUMNS]], late: [BYTES, [1, COLUMNS]] });
    await sparse(path, head, head.length + BYTES + LAST.byteLength, [head.length + BYTES, head.length + BYTES + LAST.byteLength]);
    expect((await stat(path)).size).toBeGreaterThan(4 * GIB);
    expect((await stat(path)).blocks * 512).toBeLessThan(GIB);
    await using file = await openSafetensors(path);
    expect(file.tensors.get('late')!.offset).toBeGreaterThan(4 * GIB);
    const rows = new Float32Array((await file.readTensor('big', { rows: [ROWS - 2, ROWS] })).buffer);
    expect(rows.subarray(0, COLUMNS).every((value) => value === 0)).toBe(true);
    expect(rows.subarray(COLUMNS)).toEqual(LAST);
    expect(new Float32Array((await file.readTensor('late')).buffer)).toEqual(LAST);
  });

  test('[formats F38] GGUF: the same', async () => {
    const path = join(root, 'large.gguf');
    const head = ggufHead();
    await sparse(path, head, head.length + BYTES + LAST.byteLength, [head.length + BYTES, head.length + BYTES + LAST.byteLength]);
    await using file = await openGguf(path);
    expect(file.header.tensors.get('output.weight')!.offset).toBeGreaterThan(4 * GIB);
    const rows = decodeBlocks('F32', await file.readTensor('token_embd.weight', { rows: [ROWS - 2, ROWS] }));
    expect(rows.subarray(0, COLUMNS).every((value) => value === 0)).toBe(true);
    expect([...rows.subarray(COLUMNS)]).toEqual([...LAST]);
    expect([...decodeBlocks('F32', await file.readTensor('output.weight'))]).toEqual([...LAST]);
  });

  test('[formats F38] a file that was cut at 4 GiB, as some file systems and tools cut it, is refused and says so', async () => {
    const head = safetensorsHead({ big: [0, [ROWS, COLUMNS]] });
    await sparse(join(root, 'cut.safetensors'), head, 4 * GIB - 1, []);
    await expect(openSafetensors(join(root, 'cut.safetensors'))).rejects.toThrow(expect.objectContaining({ code: expect.stringMatching(/^st_/) }));
    await sparse(join(root, 'cut.gguf'), ggufHead(), 4 * GIB - 1, []);
    await expect(openGguf(join(root, 'cut.gguf'))).rejects.toThrow(expect.objectContaining({ code: expect.stringMatching(/^gg_/) }));
  });

  test('[formats F38] a model of more than 4 GiB is quantised in less than 500 MB of memory, its last rows too', { timeout: 600_000 }, async () => {
    const source = join(root, 'model');
    await mkdir(source);
    const config = {
      model_type: 'llama',
      hidden_size: COLUMNS,
      intermediate_size: 256,
      num_hidden_layers: 0,
      num_attention_heads: 32,
      num_key_value_heads: 32,
      vocab_size: ROWS,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      tie_word_embeddings: true,
      max_position_embeddings: 2048,
      torch_dtype: 'float32',
    };
    await writeFile(join(source, 'config.json'), JSON.stringify(config));
    const head = safetensorsHead({ 'model.embed_tokens.weight': [0, [ROWS, COLUMNS]], 'model.norm.weight': [BYTES, [COLUMNS]] });
    await sparse(join(source, 'model.safetensors'), head, head.length + BYTES + LAST.byteLength, [head.length + BYTES, head.length + BYTES + LAST.byteLength]);
    const target = join(root, 'codes');
    const program = `
      const { rewriteCheckpoint } = await import(${JSON.stringify(new URL('./index.ts', import.meta.url).href)});
      await rewriteCheckpoint(${JSON.stringify(source)}, ${JSON.stringify(target)}, { quantize: 2, groupSize: 128, publish: true, threads: 2 });
      console.log(process.resourceUsage().maxRSS / 1024);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
    expect(Number(stdout)).toBeLessThan(500);
    await using made = await openCheckpoint(target);
    const words = new Uint32Array((await made.readTensor('model.embed_tokens.weight', { rows: [ROWS - 2, ROWS] })).buffer);
    const half = words.length / 2;
    expect(words.subarray(0, half).every((word) => word === words[0])).toBe(true);
    expect(new Set(words.subarray(half)).size).toBeGreaterThan(1);
  });
});
