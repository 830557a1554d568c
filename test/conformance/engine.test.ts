import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, test } from 'vitest';
import { createEmberEngine, createMlxEngine, createRemoteEngine } from '../../src/engines/index.ts';
import { temporaryDirectory } from '../support/engine-run.ts';
import { createFakeEngine } from '../support/fake-engine.ts';
import { type GoldenModel, makeGoldenModel } from '../support/golden-model.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { NO_ENVIRONMENT, testEnvironment } from '../support/mlx-environment.ts';
import { startVllmServer, type VllmServer } from '../support/vllm-server.ts';
import { describeEngine } from './engine.ts';

const model = 'it has no model';

describe('[house H10] [engines E1] the engine port', () => {
  const home = temporaryDirectory();
  let peer: HttpFixture | undefined;
  let vllm: VllmServer | undefined;
  afterAll(async () => {
    await peer?.[Symbol.asyncDispose]();
    await vllm?.[Symbol.asyncDispose]();
    home[Symbol.dispose]();
  });
  let golden: GoldenModel | undefined;

  describeEngine({
    name: 'ember',
    setUp() {
      golden = makeGoldenModel(`${home.path}/model`);
      cpSync(join(import.meta.dirname, '../reference/adapters/llama-q4-mlp/mlx'), `${home.path}/adapters/mlp`, { recursive: true });
      return {
        engine: createEmberEngine({ convertedDirectory: `${home.path}/converted`, adaptersDirectory: `${home.path}/adapters` }),
        facts: golden.facts,
        options: { contextTokens: 256, activations: 'f32', threads: 1 },
      };
    },
    golden: () => ({ prompt: golden!.golden.prompt, text: golden!.golden.text, tokens: golden!.golden.greedy.length }),
    adapter: () => 'mlp',
    longPrompt: 'x',
    lacks: {},
  });

  describeEngine({
    name: 'fake',
    setUp: () => ({
      engine: createFakeEngine({ contextTokens: 256, tokenMs: 2 }),
      facts: { directory: home.path, framework: 'MLX', architecture: 'fake', config: {}, weightFiles: [], weightBytes: 0, hasChatTemplate: false },
      options: {},
    }),
    longPrompt: 'word '.repeat(150),
    lacks: {
      logprobs: model,
      grammar: model,
      'prefix cache': 'it has no cache',
      golden: model,
      sampling: model,
      bias: model,
      embeddings: model,
      rerank: model,
      adapters: model,
      score: model,
    },
    faulty: {
      failing: () => createFakeEngine({ failLoad: 'it was told to fail' }),
      dying: () => createFakeEngine({ dieAfterTokens: 2 }),
      stalling: () => createFakeEngine({ stallAfterTokens: 1 }),
      garbling: () => createFakeEngine({ garbage: 1 }),
      deaf: () => createFakeEngine({ ignoreTerm: true, stopGraceMs: 200 }),
    },
  });

  const environment = testEnvironment();
  if (environment === null) test.skip(`engine mlx (skipped: ${NO_ENVIRONMENT})`, () => {});
  else
    describeEngine({
      name: 'mlx',
      setUp() {
        golden = makeGoldenModel(`${home.path}/model-mlx`);
        cpSync(join(import.meta.dirname, '../reference/adapters/llama-q4-mlp/mlx'), `${home.path}/adapters/mlp`, { recursive: true });
        return {
          engine: createMlxEngine({ environments: environment, convertedDirectory: `${home.path}/converted`, adaptersDirectory: `${home.path}/adapters` }),
          facts: golden.facts,
          options: { contextTokens: 256 },
        };
      },
      golden: () => ({ prompt: golden!.golden.prompt, text: golden!.golden.text, tokens: golden!.golden.greedy.length }),
      adapter: () => 'mlp',
      longPrompt: 'x',
      lacks: { embeddings: 'its text worker gives no vectors in this version', rerank: 'its text worker gives no vectors in this version' },
    });

  const far = 'the process is on the other side';
  describeEngine({
    name: 'remote (a hearth)',
    async setUp() {
      const served = makeGoldenModel(`${home.path}/peer`);
      const engine = createEmberEngine({ convertedDirectory: `${home.path}/peer-converted` });
      const listed = {
        id: 'org/golden',
        hash: null,
        facts: served.facts,
        createdAtMs: 0,
        sizeBytes: 1,
        contextTokens: 256,
        quantization: null,
        capabilities: ['chat'],
      };
      const models = { resolve: async () => listed, resolvePath: async () => listed, list: async () => [listed] };
      peer = await startHttp({}, { engines: [engine], models, gateway: { contextTokens: 256, engineOptions: { ember: { activations: 'f32', threads: 1 } } } });
      golden = served;
      const words = ['chat', 'completions', 'seed', 'logit_bias', 'choices', 'grammar', 'logprobs'];
      const described = { name: 'org/golden', ownName: 'org/golden', capabilities: words, contextTokens: 256, maxOutputTokens: null };
      return {
        engine: createRemoteEngine({ name: 'peer', kind: 'peer', baseUrl: peer.baseUrl, models: [described] }),
        facts: served.facts,
        options: { model: 'org/golden' },
        url: new URL(peer.baseUrl),
      };
    },
    golden: () => ({ prompt: golden!.golden.prompt, text: golden!.golden.text, tokens: golden!.golden.greedy.length }),
    running: async () => peer!.gateway.snapshot().models[0]!.inFlight,
    longPrompt: 'x',
    lacks: {
      process: far,
      logprobs: 'the API of plain completions tells no token ids',
      grammar: 'the API of plain completions has no grammars',
      'prefix cache': 'its key decides who shares',
      embeddings: model,
      rerank: model,
      adapters: 'they are loaded where the model is',
      score: 'no public API scores given tokens',
    },
  });

  const recorded = 'its answers are recorded';
  describeEngine({
    name: 'remote (a server with vLLM’s API)',
    async setUp() {
      vllm = await startVllmServer();
      const name = 'Qwen/Qwen3-0.6B';
      const described = { name, ownName: name, capabilities: ['chat', 'completions', 'choices'], contextTokens: 256, maxOutputTokens: null };
      return {
        engine: createRemoteEngine({ name: 'vllm', kind: 'openai', baseUrl: `${vllm.url}/v1`, models: [described] }),
        facts: { directory: home.path, framework: 'MLX', architecture: 'any', config: {}, weightFiles: [], weightBytes: 0, hasChatTemplate: false },
        options: { model: name },
        url: new URL(vllm.url),
      };
    },
    running: async () => vllm!.running,
    longPrompt: 'x',
    lacks: {
      process: far,
      golden: recorded,
      sampling: recorded,
      bias: recorded,
      'clipped limits': 'it refuses a limit above the room itself',
      logprobs: recorded,
      grammar: 'the API of plain completions has no grammars',
      'prefix cache': recorded,
      embeddings: 'it serves a chat model',
      rerank: 'it serves a chat model',
      adapters: 'they are loaded where the model is',
      score: 'no public API scores given tokens',
    },
  });
});
