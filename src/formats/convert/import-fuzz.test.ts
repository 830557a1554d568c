import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createRandom, makeCheckpoint } from '../../../test/support/llama-checkpoint.ts';
import { isHearthError } from '../../core/index.ts';
import { openGguf } from '../gguf/index.ts';
import { exportGguf, importGguf } from './index.ts';

const root = await mkdtemp(join(tmpdir(), 'hearth-import-fuzz-'));
afterAll(() => rm(root, { recursive: true }));
const path = join(root, 'good.gguf');
await exportGguf(await makeCheckpoint({ quantization: { mode: 'affine', bits: 4, group: 32 }, dtype: 'F16' }), path);
const good = await readFile(path);
const file = await openGguf(path);
const { dataOffset } = file.header;
await file.close();

/** Imports the bytes: gives the code of the refusal, or null for a model that was imported whole. Anything else fails the test. */
async function attempt(bytes: Uint8Array): Promise<string | null> {
  const parent = await mkdtemp(join(root, 'try-'));
  const changed = join(root, 'changed.gguf');
  await writeFile(changed, bytes);
  try {
    await importGguf(changed, join(parent, 'model'));
    expect(await readdir(parent)).toEqual(['model']);
    expect(await readdir(join(parent, 'model'))).toContain('conversion.json');
    return null;
  } catch (error) {
    expect(await readdir(parent)).toEqual([]);
    if (!isHearthError(error) || error.code === 'internal_error') throw error;
    return error.code;
  } finally {
    await rm(parent, { recursive: true });
  }
}

describe('a GGUF file that is cut or changed gives a code and leaves no folder', () => {
  test('cut anywhere', async () => {
    const random = createRandom(11);
    for (let i = 0; i < 40; i++) {
      const length = i < 20 ? random() % dataOffset : dataOffset + (random() % (good.length - dataOffset - 64));
      expect(await attempt(good.subarray(0, length))).toMatch(/^gg_/);
    }
  }, 60_000);

  test('bytes of the header changed', async () => {
    const random = createRandom(12);
    const codes = new Set<string | null>();
    // Keys and sizes are at the front, the table of tensors is at the end; most of the header between are token texts.
    for (let i = 0; i < 100; i++) {
      const bytes = Uint8Array.from(good);
      const at = i % 3 === 0 ? random() % 1200 : i % 3 === 1 ? dataOffset - 1 - (random() % 1200) : random() % dataOffset;
      bytes[at] = random() & 255;
      if (i % 4 === 0) bytes[at + 1] = random() & 255;
      codes.add(await attempt(bytes));
    }
    expect(codes.size).toBeGreaterThan(4);
  }, 120_000);

  test('bytes of the data changed', async () => {
    const random = createRandom(13);
    for (let i = 0; i < 8; i++) {
      const bytes = Uint8Array.from(good);
      for (let n = 0; n < 200; n++) bytes[dataOffset + (random() % (good.length - dataOffset))] = random() & 255;
      expect([null, 'convert_not_finite']).toContain(await attempt(bytes));
    }
  }, 60_000);
});
