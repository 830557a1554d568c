import { mkdir, mkdtemp, open, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DTYPE_BITS, type Dtype, tensorBytes } from './dtype.ts';
import { openSafetensors } from './open.ts';
import { type TensorSource, writeSafetensors } from './write.ts';

const RECORDED = join(import.meta.dirname, '../../../test/reference/mlx-arrays');
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-open-'));
});
afterAll(() => rm(directory, { recursive: true }));

const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 37 + 11) & 255);
const source = (name: string, dtype: Dtype, shape: number[]): TensorSource => ({ name, dtype, shape, data: counting(tensorBytes(dtype, shape)) });

describe('openSafetensors', () => {
  it('[formats F1] [security G21] files that MLX wrote (recorded: unaligned, unordered, null metadata), one of the standard writer, and copies by this writer load with equal tables and bytes', async () => {
    for (const name of ['no-metadata', 'metadata', 'packing', 'quantised', 'standard-writer']) {
      await using original = await openSafetensors(join(RECORDED, `${name}.safetensors`));
      const tensors: TensorSource[] = [];
      for (const { name: tensor, dtype, shape } of original.tensors.values())
        tensors.push({ name: tensor, dtype, shape, data: await original.readTensor(tensor) });
      const path = join(directory, `${name}.safetensors`);
      await writeSafetensors(path, tensors, original.metadata ?? undefined);
      await using copy = await openSafetensors(path);
      expect(copy.metadata).toEqual(original.metadata);
      expect([...copy.tensors.keys()].sort()).toEqual([...original.tensors.keys()].sort());
      for (const { name: tensor, dtype, shape, bytes } of original.tensors.values()) {
        expect(copy.tensors.get(tensor)).toMatchObject({ dtype, shape, bytes });
        expect(await copy.readTensor(tensor)).toEqual(await original.readTensor(tensor));
      }
    }
  });

  it('[formats F1] the recorded files are as awkward as they should be, and their numbers are read', async () => {
    await using plain = await openSafetensors(join(RECORDED, 'no-metadata.safetensors'));
    const entries = [...plain.tensors.values()];
    expect(plain.metadata).toBeNull();
    expect(entries.some((e) => e.dtype === 'F32' && e.offset % 4 !== 0)).toBe(true);
    expect(entries.some((e, i) => i > 0 && e.offset < entries[i - 1]!.offset)).toBe(true);
    const bytes = await plain.readTensor('layer.4.b');
    expect([...new Float32Array(bytes.buffer)]).toEqual([0, 1, 2, 3, 4]);
    await using other = await openSafetensors(join(RECORDED, 'metadata.safetensors'));
    expect(other.metadata).toEqual({ format: 'mlx' });
    expect(other.tensors.get('scalar')).toMatchObject({ dtype: 'I64', shape: [], bytes: 8 });
    expect(other.tensors.get('none')).toMatchObject({ shape: [0, 4], bytes: 0 });
    expect([...(await other.readTensor('flags'))]).toEqual([1, 0, 1]);
    await using standard = await openSafetensors(join(RECORDED, 'standard-writer.safetensors'));
    expect(standard.metadata).toEqual({ format: 'pt' });
    expect([...new Float32Array((await standard.readTensor('b', { rows: [1, 2] })).buffer)]).toEqual([4, 5, 6, 7]);
  });

  it('[formats F4] row ranges of every dtype equal the same part of a full read', async () => {
    const shape = [5, 8];
    const path = join(directory, 'dtypes.safetensors');
    await writeSafetensors(
      path,
      (Object.keys(DTYPE_BITS) as Dtype[]).map((dtype) => source(dtype.toLowerCase(), dtype, shape)),
    );
    await using file = await openSafetensors(path);
    expect(file.tensors.size).toBe(22);
    for (const { name, bytes } of file.tensors.values()) {
      const whole = await file.readTensor(name);
      expect(whole).toEqual(counting(bytes));
      for (let from = 0; from <= 5; from++)
        for (let to = from; to <= 5; to++) expect(await file.readTensor(name, { rows: [from, to] })).toEqual(whole.slice((from * bytes) / 5, (to * bytes) / 5));
    }
  });

  it('[formats F4] a read goes into the given array, and rows that do not exist or do not end on a byte are refused', async () => {
    const path = join(directory, 'rows.safetensors');
    await writeSafetensors(path, [source('w', 'U8', [4, 2]), source('half', 'F4', [4, 3]), source('one', 'F32', []), source('no', 'F32', [0, 3])]);
    await using file = await openSafetensors(path);
    const into = new Uint8Array(new SharedArrayBuffer(8), 2, 4);
    expect(await file.readTensor('w', { rows: [1, 3], into })).toBe(into);
    expect([...into]).toEqual([...counting(8).slice(2, 6)]);
    expect(await file.readTensor('half', { rows: [2, 4] })).toEqual(counting(6).slice(3));
    expect(await file.readTensor('no', { rows: [0, 0] })).toHaveLength(0);
    const refused: [string, [number, number]][] = [
      ['w', [0, 5]],
      ['w', [-1, 2]],
      ['w', [3, 2]],
      ['w', [0.5, 2]],
      ['half', [1, 2]],
      ['one', [0, 1]],
      ['no', [0, 1]],
    ];
    for (const [name, rows] of refused) await expect(file.readTensor(name, { rows })).rejects.toMatchObject({ code: 'st_row_range' });
    await expect(file.readTensor('w', { into: new Uint8Array(7) })).rejects.toMatchObject({ code: 'st_row_range' });
    await expect(file.readTensor('absent')).rejects.toMatchObject({ code: 'st_tensor_unknown' });
  });

  it('[formats F4] a short read is an error', async () => {
    const path = join(directory, 'short.safetensors');
    await writeSafetensors(path, [source('a', 'U8', [100]), source('b', 'U8', [100])]);
    await using file = await openSafetensors(path);
    await truncate(path, file.sizeBytes - 1);
    expect(await file.readTensor('a')).toEqual(counting(100));
    await expect(file.readTensor('b')).rejects.toMatchObject({ code: 'st_read_failed' });
    await file.close();
    await expect(file.readTensor('a')).rejects.toMatchObject({ code: 'st_read_failed' });
  });

  it('a link to a blob is followed, a link to nothing is not', async () => {
    await mkdir(join(directory, 'blobs'));
    await writeSafetensors(join(directory, 'blobs', 'abc'), [source('a', 'U8', [3])]);
    await symlink('blobs/abc', join(directory, 'link.safetensors'));
    await using file = await openSafetensors(join(directory, 'link.safetensors'));
    expect(await file.readTensor('a')).toEqual(counting(3));
    await symlink('blobs/absent', join(directory, 'dangling.safetensors'));
    await expect(openSafetensors(join(directory, 'dangling.safetensors'))).rejects.toMatchObject({ code: 'file_system_error' });
    await symlink('blobs', join(directory, 'folder.safetensors'));
    await expect(openSafetensors(join(directory, 'folder.safetensors'))).rejects.toMatchObject({ code: 'st_not_regular' });
  });

  it('a file is closed when it is refused', async () => {
    const path = join(directory, 'refused.safetensors');
    await writeFile(path, Buffer.alloc(64, 1));
    const probe = async (): Promise<number> => {
      await using handle = await open(path);
      return handle.fd;
    };
    const before = await probe();
    for (let i = 0; i < 20; i++) await expect(openSafetensors(path)).rejects.toMatchObject({ code: 'st_header_len_huge' });
    expect(await probe()).toBe(before);
  });
});
