import { expect, test } from 'vitest';
import { HearthError, type ModelFacts } from '../core/index.ts';
import { createEmberEngine, type Engine } from '../engines/index.ts';
import { createSupervisor } from '../supervisor/index.ts';
import { companionsOf } from './companions.ts';
import { withDefaults } from './gateway-options.ts';
import { loadModel } from './loaded-model.ts';
import type { ResolvedModel } from './model-source.ts';
import { engineOptionsOf } from './resident.ts';

const ember = createEmberEngine({ convertedDirectory: '/nowhere/converted' });
const config = {
  model_type: 'llama',
  vocab_size: 100,
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  intermediate_size: 128,
  rms_norm_eps: 1e-5,
};
const model = (name: string, own: Readonly<Record<string, unknown>> = config): ResolvedModel => ({
  id: name,
  hash: null,
  facts: { directory: `/models/${name}`, framework: 'MLX', architecture: 'llama', config: own, weightFiles: ['w'], weightBytes: 1000, hasChatTemplate: false },
});
const known = [model('large'), model('small')];

function settingsWith(engine: Engine, draftModel: string) {
  const find = async (name: string): Promise<ResolvedModel> => {
    const found = known.find(({ id }) => id === name);
    if (found === undefined) throw new HearthError('model_not_found', `No model named ${name}.`);
    return found;
  };
  return withDefaults({
    models: { resolve: find, resolvePath: async (path) => find(path.slice(1)), list: async () => [] },
    engines: [engine],
    supervisor: createSupervisor(),
    engineOptions: { ember: { draftModel } },
  });
}

test('a model that an option names is resolved for every other model that gives text, by name or path', async () => {
  for (const name of ['small', '/small']) {
    const settings = settingsWith(ember, name);
    const companions = await companionsOf(settings, ember, known[0]!);
    expect(companions).toEqual({ draftModel: known[1] });
    expect(engineOptionsOf(settings, { engine: ember, plan: {}, companions })).toEqual({ draftModel: name });
    const own = await companionsOf(settings, ember, known[1]!);
    expect(own).toEqual({});
    expect(engineOptionsOf(settings, { engine: ember, plan: {}, companions: own })).toEqual({});
  }
  expect(await companionsOf(settingsWith(ember, 'small'), ember, model('encoder', { ...config, model_type: 'bert' }))).toEqual({});
});

test('one that is not there is refused naming the key', async () => {
  const refused = companionsOf(settingsWith(ember, 'gone'), ember, known[0]!);
  await expect(refused).rejects.toMatchObject({ code: 'model_load_failed', message: expect.stringContaining('engines.ember.draftModel') });
});

test('its directory, as the engine prepared it, reaches the process in place of the name', async () => {
  const asked: unknown[] = [];
  const engine: Engine = {
    ...ember,
    prepare: async (facts: ModelFacts) => ({ facts, directory: `/views${facts.directory}`, sourceDirectory: facts.directory }),
    processSpec(prepared, options, companions) {
      asked.push(prepared.directory, options, companions);
      return null;
    },
  };
  const settings = settingsWith(engine, 'small');
  const companions = await companionsOf(settings, engine, known[0]!);
  const engineOptions = engineOptionsOf(settings, { engine, plan: {}, companions });
  const loading = loadModel({
    model: known[0]!,
    engine,
    engineOptions,
    companions,
    onAdapterBytes: () => {},
    supervisor: settings.supervisor,
    onProgress: () => {},
    signal: new AbortController().signal,
  });
  await expect(loading).rejects.toMatchObject({ code: 'not_implemented' });
  expect(asked).toEqual(['/views/models/large', { draftModel: '/views/models/small' }, { draftModel: known[1]!.facts }]);
});
