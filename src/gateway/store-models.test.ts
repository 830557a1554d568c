import { afterEach, expect, it } from 'vitest';
import { cacheModel, makeTempStore, mlxModel, type TempStore } from '../../test/support/temp-store.ts';
import { createStoreModels } from './store-models.ts';

let temp: TempStore | undefined;
afterEach(() => temp?.[Symbol.asyncDispose]());

it('[store K90] the context is the first positive number of the usual keys, at the top level, then in text_config', async () => {
  temp = await makeTempStore();
  const config = (more: object) => ({ 'config.json': JSON.stringify({ model_type: 'llama', quantization: { group_size: 64, bits: 4 }, ...more }) });
  await cacheModel(temp.cacheDirectory, 'org/nested', mlxModel(config({ text_config: { max_position_embeddings: 777 } })));
  await cacheModel(temp.cacheDirectory, 'org/both', mlxModel(config({ n_positions: 333, text_config: { max_position_embeddings: 777 } })));
  await cacheModel(temp.cacheDirectory, 'org/none', mlxModel(config({ max_position_embeddings: 0 })));
  const rows = await createStoreModels(temp.store).list(AbortSignal.timeout(60_000));
  expect(Object.fromEntries(rows.map(({ id, contextTokens }) => [id, contextTokens]))).toEqual({ 'org/nested': 777, 'org/both': 333, 'org/none': null });
});
