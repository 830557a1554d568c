import { randomBytes } from 'node:crypto';
import { chmod, open, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startFakeHub } from '../../../test/support/fake-hub.ts';
import { cacheModel, type ModelFiles, makeTempStore, mlxModel, writeFiles } from '../../../test/support/temp-store.ts';

/** A safetensors file of one U8 tensor with these bytes. */
function weights(content: Buffer, declaredBytes = content.length): Buffer {
  const header = Buffer.from(JSON.stringify({ t: { dtype: 'U8', shape: [declaredBytes], data_offsets: [0, declaredBytes] } }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, content]);
}

async function flipByte(path: string, position: number): Promise<void> {
  const real = await realpath(path);
  await chmod(real, 0o600);
  await using handle = await open(real, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, position);
  await handle.write(Buffer.from([byte[0]! ^ 1]), 0, 1, position);
}

const NAME = 'org/tiny';
const whole = (): ModelFiles => mlxModel({ 'model.safetensors': weights(randomBytes(200_000)) });

test('[store K35] one changed byte is found against the blob digests, offline, in large files and in small ones', async () => {
  for (const [file, position] of [
    ['model.safetensors', 150_000],
    ['tokenizer_config.json', 4],
  ] as const) {
    await using temp = await makeTempStore();
    await writeFiles(join(temp.hubFolder, NAME, 'main'), whole());
    await using hub = await startFakeHub(temp.hubFolder);
    const store = temp.with({ hub: { endpoint: hub.endpoint } });
    const commit = (await store.pull({ reference: NAME })).commit_hash ?? '';
    hub.clearRequests();
    expect((await store.health({ deep: true })).unhealthy).toEqual([]);
    await flipByte(join(temp.cacheDirectory, 'models--org--tiny', 'snapshots', commit, file), position);
    expect((await store.health()).summary.healthy_count).toBe(1);
    expect((await store.health({ reference: NAME, deep: true })).unhealthy).toEqual([
      { name: NAME, status: 'unhealthy', reason: `Checksum mismatch: ${file}` },
    ]);
    expect(hub.requests).toEqual([]);
    const repaired = await store.pull({ reference: NAME, update: true, forceResume: true });
    expect(repaired.download_status).toBe('success');
    expect((await store.health({ deep: true })).summary).toEqual({ total: 1, healthy_count: 1, unhealthy_count: 0 });
  }
});

test('[store K35] --online compares with what the hub lists, for snapshots and for workspaces of known origin', async () => {
  await using temp = await makeTempStore();
  const files = whole();
  await writeFiles(join(temp.hubFolder, NAME, 'main'), files);
  await using hub = await startFakeHub(temp.hubFolder);
  const store = temp.with({ hub: { endpoint: hub.endpoint } });
  const commit = hub.commit(NAME);
  const sentinel = JSON.stringify({ managed: true, source_repo: NAME, source_revision: commit });
  await writeFiles(join(temp.workspaceHome, 'copy'), { ...files, '.mlxk_workspace.json': sentinel });
  await cacheModel(temp.cacheDirectory, NAME, files, { commit });
  expect((await store.health({ deep: true, online: true })).summary).toEqual({ total: 2, healthy_count: 2, unhealthy_count: 0 });
  await flipByte(join(temp.workspaceHome, 'copy', 'model.safetensors'), 100_000);
  expect((await store.health({ reference: 'copy', deep: true })).summary.healthy_count).toBe(1);
  expect((await store.health({ reference: 'copy', deep: true, online: true })).unhealthy[0]?.reason).toBe('Checksum mismatch: model.safetensors');
  await expect(store.health({ online: true })).rejects.toMatchObject({ code: 'invalid_argument' });
});

test('--deep parses every weight header: a tensor that ends beyond the file is unhealthy', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, NAME, mlxModel({ 'model.safetensors': weights(randomBytes(100), 200) }));
  await writeFiles(join(temp.workspaceHome, 'gguf'), { 'm.gguf': 'GGUF\x03\0\0\0' });
  expect((await temp.store.health()).summary.healthy_count).toBe(2);
  const { unhealthy } = await temp.store.health({ deep: true });
  expect(unhealthy.map((entry) => entry.reason)).toEqual(['Invalid header: m.gguf (gg_truncated)', 'Invalid header: model.safetensors (st_past_eof)']);
});
