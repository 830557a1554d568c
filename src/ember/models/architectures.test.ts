import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readModelConfig } from '../../formats/index.ts';
import { modelGraph, supportedModelTypes } from './architectures.ts';
import type { ModelConfig } from './model-graph.ts';

const REFERENCE = join(import.meta.dirname, '../../../test/reference');
/** A config of each type that has a reference. */
const configs = new Map<string, ModelConfig>();
for (const kind of ['goldens', 'embeddings'])
  for (const name of readdirSync(join(REFERENCE, kind))) {
    const directory = join(REFERENCE, kind, name);
    if (!existsSync(join(directory, 'config.json'))) continue;
    const config = await readModelConfig(directory);
    configs.set(String(config['model_type']), config);
  }

it('[engines E33] every supported model type has a reference model', () => {
  expect(supportedModelTypes().filter((type) => !configs.has(type))).toEqual([]);
});

it('[engines E33] an unknown model type is refused with the reason that the store shows', () => {
  expect(() => modelGraph({ ...configs.get('llama'), model_type: 'llama9' })).toThrow(
    expect.objectContaining({ code: 'model_load_failed', message: "model_type 'llama9' not supported by any installed engine" }),
  );
});

describe.each(supportedModelTypes())('%s', (type) => {
  it('[engines E33] a key of config.json that is not understood is refused by its name, an inert one is not', () => {
    const config = configs.get(type)!;
    expect(() => modelGraph(config)).not.toThrow();
    expect(() => modelGraph({ ...config, mirrored_heads: null, mirrored_layers: false })).not.toThrow();
    expect(() => modelGraph({ ...config, mirrored_heads: 2 })).toThrow(
      expect.objectContaining({ code: 'model_load_failed', message: expect.stringContaining('mirrored_heads = 2') }),
    );
    const text = config['text_config'] as ModelConfig | undefined;
    if (text !== undefined)
      expect(() => modelGraph({ ...config, text_config: { ...text, mirrored_heads: 2 } })).toThrow(expect.objectContaining({ code: 'model_load_failed' }));
  });
});
