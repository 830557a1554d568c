import { afterEach, describe, expect, it } from 'vitest';
import { cacheModel, makeTempStore, mlxModel, type TempStore } from '../../test/support/temp-store.ts';
import { createCatalog } from '../catalog/index.ts';
import { withCatalog } from './catalogued-store.ts';

let temp: TempStore | undefined;
afterEach(async () => {
  await temp?.[Symbol.asyncDispose]();
});

async function catalogued() {
  temp = await makeTempStore();
  return withCatalog(temp.store, createCatalog(), 'int4');
}

describe('catalog ids as names', () => {
  it('open and show the repository that is here', async () => {
    const store = await catalogued();
    await cacheModel(temp!.cacheDirectory, 'mlx-community/Qwen3-8B-4bit', mlxModel());
    expect((await store.open({ reference: 'qwen3-8b' })).model.name).toBe('mlx-community/Qwen3-8B-4bit');
    expect((await store.show({ reference: 'QWEN3-8B' })).model.name).toBe('mlx-community/Qwen3-8B-4bit');
  });

  it('say how to fetch what is not here, and what a mistyped id may have been', async () => {
    const store = await catalogued();
    await expect(store.open({ reference: 'qwen3-8b' })).rejects.toMatchObject({
      code: 'model_not_found',
      message: expect.stringContaining('hearth pull qwen3-8b'),
    });
    await expect(store.open({ reference: 'qwen3-8c' })).rejects.toMatchObject({ code: 'model_not_found', message: expect.stringContaining('qwen3-8b') });
    await expect(store.open({ reference: 'something-else-entirely' })).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it('take the quant that is asked for, and list those that there are', async () => {
    const store = await catalogued();
    await expect(store.pull({ reference: 'qwen3-8b', quant: 'int2' } as never)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('int4, int8'),
    });
    await expect(store.pull({ reference: 'org/name', quant: 'int4' } as never)).rejects.toMatchObject({ code: 'invalid_argument' });
    await expect(store.pull({ reference: 'qwen3-8b', quant: 'int8' } as never)).rejects.toMatchObject({
      details: { data: { model: 'mlx-community/Qwen3-8B-8bit' } },
    });
  });
});
