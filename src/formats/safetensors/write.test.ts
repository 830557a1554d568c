import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Dtype, tensorBytes } from './dtype.ts';
import { openSafetensors } from './open.ts';
import { parseSafetensorsHeader } from './parse-header.ts';
import { openShards } from './shards.ts';
import { type TensorSource, writeSafetensors } from './write.ts';
import { writeShardedCheckpoint } from './write-checkpoint.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-write-'));
});
afterAll(() => rm(directory, { recursive: true }));

const source = (name: string, dtype: Dtype, shape: number[], fill = 1): TensorSource => ({
  name,
  dtype,
  shape,
  data: new Uint8Array(tensorBytes(dtype, shape)).fill(fill),
});
const TENSORS = [source('b', 'U8', [3], 1), source('c', 'F32', [2], 2), source('a', 'F32', [1], 3), source('10', 'BF16', [5], 4), source('9', 'BF16', [], 5)];

describe('writeSafetensors', () => {
  it('[formats F5] output parses strictly: widest dtype first, then by name, header padded to a multiple of 8', async () => {
    const path = join(directory, 'model.safetensors');
    await writeSafetensors(path, TENSORS, { format: 'mlx' });
    const bytes = await readFile(path);
    const result = parseSafetensorsHeader(bytes, bytes.length);
    if (!result.ok) throw new Error(result.message);
    expect([...result.header.tensors.keys()]).toEqual(['a', 'c', '10', '9', 'b']);
    expect(result.header.metadata).toEqual({ format: 'mlx' });
    expect(result.header.headerBytes % 8).toBe(0);
    const data = bytes.subarray(8 + result.header.headerBytes);
    expect([...data]).toEqual([...Array(4).fill(3), ...Array(8).fill(2), ...Array(10).fill(4), ...Array(2).fill(5), 1, 1, 1]);
  });

  it('[formats F5] equal input gives equal bytes, in any order and from whole or piecewise data', async () => {
    const paths = ['one', 'two', 'three'].map((name) => join(directory, name));
    await writeSafetensors(paths[0]!, TENSORS);
    await writeSafetensors(paths[1]!, TENSORS.toReversed());
    const piecewise = TENSORS.map((tensor) => ({
      ...tensor,
      data: async function* () {
        for (const byte of tensor.data as Uint8Array) yield Uint8Array.of(byte);
      },
    }));
    await writeSafetensors(paths[2]!, piecewise);
    const [one, two, three] = await Promise.all(paths.map((path) => readFile(path)));
    expect(two).toEqual(one);
    expect(three).toEqual(one);
    expect(one!.includes('__metadata__')).toBe(false);
  });

  it('a table that the parser would refuse, or a source of another length, leaves nothing behind', async () => {
    const folder = await mkdtemp(join(directory, 'refused-'));
    const path = join(folder, 'model.safetensors');
    const cases: [TensorSource[], string][] = [
      [[source('a', 'U8', [1]), source('a', 'U8', [1])], 'st_duplicate_key'],
      [[source('', 'U8', [1])], 'st_name_empty'],
      [[source('__proto__', 'U8', [1])], 'st_name_reserved'],
      [[{ ...source('a', 'F4', [4]), shape: [3] }], 'st_number_form'],
      [[], 'st_no_tensors'],
      [[{ ...source('a', 'U8', [3]), data: new Uint8Array(2) }], 'st_size_mismatch'],
      [[{ ...source('a', 'U8', [3]), data: () => [new Uint8Array(2), new Uint8Array(2)] }], 'st_size_mismatch'],
    ];
    for (const [tensors, code] of cases) await expect(writeSafetensors(path, tensors)).rejects.toMatchObject({ code });
    const broken = {
      ...source('a', 'U8', [3]),
      data: function* () {
        yield new Uint8Array(1);
        throw new Error('the source broke');
      },
    };
    await expect(writeSafetensors(path, [broken])).rejects.toThrow('the source broke');
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('writeShardedCheckpoint', () => {
  it('[formats F5] one shard is model.safetensors, its index is complete', async () => {
    const folder = await mkdtemp(join(directory, 'single-'));
    await writeShardedCheckpoint(folder, TENSORS);
    expect((await readdir(folder)).sort()).toEqual(['model.safetensors', 'model.safetensors.index.json']);
    const index = JSON.parse(await readFile(join(folder, 'model.safetensors.index.json'), 'utf8'));
    expect(index.metadata).toEqual({ total_size: 27, total_parameters: 12 });
    expect(Object.keys(index.weight_map).sort()).toEqual(['10', '9', 'a', 'b', 'c']);
    await using file = await openSafetensors(join(folder, 'model.safetensors'));
    expect(file.metadata).toEqual({ format: 'mlx' });
  });

  it('[formats F5] shards keep to their limit, the index names each tensor once, sorted, and the checkpoint opens', async () => {
    const folder = await mkdtemp(join(directory, 'shards-'));
    const tensors = Array.from({ length: 9 }, (_, i) => source(`layer.${i}`, 'F16', [i === 4 ? 100 : 10], i));
    await writeShardedCheckpoint(folder, tensors, { maxShardBytes: 64 });
    const names = (await readdir(folder)).filter((name) => name.endsWith('.safetensors')).sort();
    expect(names).toEqual([1, 2, 3, 4, 5].map((i) => `model-0000${i}-of-00005.safetensors`));
    const text = await readFile(join(folder, 'model.safetensors.index.json'), 'utf8');
    expect([...text.matchAll(/"(layer\.\d)":/g)].map((m) => m[1])).toEqual(tensors.map((t) => t.name));
    await using shards = await openShards(folder);
    expect(shards.tensors.size).toBe(9);
    for (const tensor of tensors) expect(await shards.readTensor(tensor.name)).toEqual(tensor.data);
    for (const file of shards.files) {
      const bytes = [...file.tensors.values()].reduce((sum, entry) => sum + entry.bytes, 0);
      expect(bytes <= 64 || file.tensors.size === 1).toBe(true);
    }
  });
});
