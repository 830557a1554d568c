import { cp, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openShards } from './shards.ts';
import { type TensorSource, writeSafetensors } from './write.ts';
import { writeShardedCheckpoint } from './write-checkpoint.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hearth-shards-'));
});
afterAll(() => rm(directory, { recursive: true }));

const source = (name: string): TensorSource => ({ name, dtype: 'U8', shape: [4], data: Uint8Array.of(1, 2, 3, name.length) });
const FIRST = 'model-00001-of-00002.safetensors';
const SECOND = 'model-00002-of-00002.safetensors';

/** A checkpoint of a and b in the first shard, c and d in the second. */
async function makeModel(): Promise<{ folder: string; editIndex: (edit: (map: Record<string, unknown>) => void) => Promise<void> }> {
  const folder = await mkdtemp(join(directory, 'model-'));
  await writeShardedCheckpoint(folder, ['a', 'b', 'c', 'd'].map(source), { maxShardBytes: 8 });
  const path = join(folder, 'model.safetensors.index.json');
  const editIndex = async (edit: (map: Record<string, unknown>) => void): Promise<void> => {
    const index = JSON.parse(await readFile(path, 'utf8'));
    edit(index.weight_map);
    await writeFile(path, JSON.stringify(index));
  };
  return { folder, editIndex };
}

describe('openShards', () => {
  it('[formats F6] a whole checkpoint opens, with the absolute path of each tensor', async () => {
    const { folder } = await makeModel();
    await using shards = await openShards(folder);
    expect([...shards.tensors].map(([name, entry]) => [name, entry.file])).toEqual([
      ['a', join(folder, FIRST)],
      ['b', join(folder, FIRST)],
      ['c', join(folder, SECOND)],
      ['d', join(folder, SECOND)],
    ]);
    await expect(shards.readTensor('e')).rejects.toMatchObject({ code: 'st_tensor_unknown' });
  });

  it('[formats F6] [security G21] a missing file and a missing tensor have their codes', async () => {
    const absent = await makeModel();
    await rm(join(absent.folder, SECOND));
    await expect(openShards(absent.folder)).rejects.toMatchObject({ code: 'st_index_missing_file' });
    const empty = await mkdtemp(join(directory, 'empty-'));
    await expect(openShards(empty)).rejects.toMatchObject({ code: 'st_index_missing_file' });
    await expect(openShards(join(directory, 'nowhere'))).rejects.toMatchObject({ code: 'file_system_error' });
    const extra = await makeModel();
    await extra.editIndex((map) => {
      map['e'] = FIRST;
    });
    await expect(openShards(extra.folder)).rejects.toMatchObject({ code: 'st_index_missing_tensor' });
    const fewer = await makeModel();
    await fewer.editIndex((map) => {
      delete map['a'];
    });
    await expect(openShards(fewer.folder)).rejects.toMatchObject({ code: 'st_index_missing_tensor' });
  });

  it('[formats F6] [security G21] an unlisted file is refused, since other engines would load it', async () => {
    const { folder } = await makeModel();
    await writeSafetensors(join(folder, 'model-extra.safetensors'), [source('e')]);
    await expect(openShards(folder)).rejects.toMatchObject({ code: 'st_index_unlisted_file' });
  });

  it('[formats F6] [security G21] a tensor in two files, and one in another file than the index says, have their codes', async () => {
    const twice = await makeModel();
    await writeSafetensors(join(twice.folder, SECOND), ['a', 'c', 'd'].map(source));
    await expect(openShards(twice.folder)).rejects.toMatchObject({ code: 'st_index_duplicate_tensor' });
    const moved = await makeModel();
    await moved.editIndex((map) => {
      map['a'] = SECOND;
    });
    await expect(openShards(moved.folder)).rejects.toMatchObject({ code: 'st_index_wrong_file' });
  });

  it('[formats F6] [security G21] a file name that leaves the directory or is no plain name is refused', async () => {
    for (const name of [
      '../x.safetensors',
      '/etc/x.safetensors',
      'sub/x.safetensors',
      'x.bin',
      `${'n'.repeat(129)}.safetensors`,
      '.safetensors',
      'a b.safetensors',
      7,
      null,
    ]) {
      const { folder, editIndex } = await makeModel();
      await editIndex((map) => {
        map['a'] = name;
      });
      await expect(openShards(folder)).rejects.toMatchObject({ code: 'st_index_name' });
    }
  });

  it('without an index the model files are taken together, other weights are left alone', async () => {
    const { folder } = await makeModel();
    await rm(join(folder, 'model.safetensors.index.json'));
    await writeSafetensors(join(folder, 'adapters.safetensors'), [source('a')]);
    await using shards = await openShards(folder);
    expect([...shards.tensors.keys()]).toEqual(['a', 'b', 'c', 'd']);
    await writeSafetensors(join(folder, 'model-more.safetensors'), [source('b')]);
    await expect(openShards(folder)).rejects.toMatchObject({ code: 'st_index_duplicate_tensor' });
  });

  it('a snapshot of links to blobs, as hub caches keep it, opens', async () => {
    const { folder } = await makeModel();
    const snapshot = await mkdtemp(join(directory, 'snapshot-'));
    const blobs = await mkdtemp(join(directory, 'blobs-'));
    for (const [i, name] of [FIRST, SECOND, 'model.safetensors.index.json'].entries()) {
      await cp(join(folder, name), join(blobs, `${i}`));
      await symlink(join(blobs, `${i}`), join(snapshot, name));
    }
    await using shards = await openShards(snapshot);
    expect(shards.tensors.size).toBe(4);
    await rename(join(blobs, '1'), join(blobs, '9'));
    await expect(openShards(snapshot)).rejects.toMatchObject({ code: 'file_system_error' });
  });
});
