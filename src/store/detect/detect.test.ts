import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheModel, ggufHead, llamaProbe, type ModelFiles, makeTempStore, mlxModel, writeFiles } from '../../../test/support/temp-store.ts';
import type { ModelObject } from '../../contract/index.ts';

/** The model objects of several repositories: [name, files]. */
async function judged(models: readonly (readonly [name: string, files: ModelFiles])[], probe: typeof llamaProbe = llamaProbe): Promise<ModelObject[]> {
  const result: ModelObject[] = [];
  for (const [name, files] of models) {
    await using temp = await makeTempStore({ runtimeProbe: probe });
    await cacheModel(temp.cacheDirectory, name, files);
    result.push((await temp.store.show({ reference: name })).model);
  }
  return result;
}

const config = (value: object): ModelFiles => ({ 'config.json': JSON.stringify(value), 'model.safetensors': 'x' });
const llama = config({ model_type: 'llama' });

/** A strict safetensors file of one F16 number. */
function safetensors(dtype = 'F16', metadata?: Record<string, string>): Buffer {
  const header = JSON.stringify({
    ...(metadata === undefined ? {} : { __metadata__: metadata }),
    t: { dtype, shape: [dtype === 'U8' ? 2 : 1], data_offsets: [0, dtype === 'F64' ? 8 : 2] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, Buffer.from(header), Buffer.alloc(dtype === 'F64' ? 8 : 2)]);
}

test('[store K36] the framework comes from the name, the README, the config, the header, or the kind of weights', async () => {
  const readme = (matter: string): ModelFiles => ({ ...llama, 'README.md': `---\n${matter}\n---\ntext` });
  const found = await judged([
    ['mlx-community/x', llama],
    ['org/x', readme('license: mit\ntags:\n- text\n- MLX')],
    ['org/x', readme('tags: [text, "mlx"]')],
    ['org/x', readme('library_name: MLX')],
    ['org/x', config({ model_type: 'llama', quantization: { bits: 4 } })],
    ['org/x', { ...llama, 'model.safetensors': safetensors('F16', { format: 'mlx' }) }],
    ['org/x', { 'm.gguf': ggufHead({}) }],
    ['org/x', llama],
    ['org/x', { ...llama, 'model.safetensors': safetensors('F16', { format: 'pt' }) }],
    ['org/x', readme('license: mit\ndescription: mlx')],
    ['org/x', {}],
  ]);
  expect(found.map((model) => model.framework)).toEqual(['MLX', 'MLX', 'MLX', 'MLX', 'MLX', 'MLX', 'GGUF', 'PyTorch', 'PyTorch', 'PyTorch', 'Unknown']);
});

test('[store K37] a chat model is known by its template, wherever it is, or by its name', async () => {
  const template = '{{ messages }}';
  const found = await judged([
    ['org/x', { ...llama, 'tokenizer_config.json': JSON.stringify({ chat_template: template }) }],
    ['org/x', { ...llama, 'tokenizer_config.json': JSON.stringify({ chat_template: [{ name: 'default', template }] }) }],
    ['org/x', { ...llama, 'chat_template.jinja': template }],
    ['org/x', { ...llama, 'chat_template.json': JSON.stringify({ chat_template: template }) }],
    ['org/x', { ...llama, 'tokenizer.json': JSON.stringify({ chat_template: template }) }],
    ['org/x', { 'm.gguf': ggufHead({ 'general.architecture': 'llama', 'tokenizer.chat_template': template }) }],
    ['org/x-Instruct', llama],
    ['org/Chatty', llama],
    ['org/x', { ...llama, 'tokenizer.json': '{}', 'tokenizer_config.json': '{"chat_template": null}' }],
  ]);
  expect(found.map((model) => model.model_type)).toEqual(['chat', 'chat', 'chat', 'chat', 'chat', 'chat', 'chat', 'chat', 'base']);
  expect(found[0]?.capabilities).toEqual(['text-generation', 'chat']);
  expect(found.at(-1)?.capabilities).toEqual(['text-generation']);
});

test('a template that lies across two read pieces of a large tokenizer.json is found', async () => {
  const found = await judged(
    [3, 8, 12].map((back) => {
      const pad = 'x'.repeat(1024 * 1024 - 8 - back);
      return ['org/x', { ...llama, 'tokenizer.json': `{"pad":"${pad}","chat_template":"{{ x }}"}` }] as const;
    }),
  );
  expect(found.map((model) => model.model_type)).toEqual(['chat', 'chat', 'chat']);
});

test('[store K38] a speech model is audio only; an empty audio or vision config adds nothing', async () => {
  const found = await judged([
    ['org/x', config({ model_type: 'vibevoice_asr' })],
    ['org/x', config({ model_type: 'llama', audio_config: null, vision_config: {} })],
    ['org/x', config({ model_type: 'llama', audio_config: {} })],
    ['org/x', config({ model_type: 'whisper' })],
    ['openai/whisper-large-v3-turbo', config({ model_type: 'whisper' })],
    ['openai/whisper-tiny.en', config({ model_type: 'whisper' })],
  ]);
  expect(found.map((model) => model.capabilities)).toEqual([
    ['audio'],
    ['text-generation'],
    ['text-generation'],
    ['audio', 'audio-translate-en'],
    ['audio'],
    ['audio'],
  ]);
  expect(found.map((model) => model.model_type)).toEqual(['audio', 'base', 'base', 'audio', 'audio', 'audio']);
});

test('[store K39] bert is an embedder that can run, xlm-roberta is only declared', async () => {
  const embeds = (): ReturnType<typeof llamaProbe> => ({ embeddings: { ok: true, engine: 'fake', reason: null } });
  const mlx = { quantization: { bits: 4 } };
  const found = await judged(
    [
      ['org/x', config({ model_type: 'bert', ...mlx })],
      ['org/x', config({ model_type: 'xlm-roberta', ...mlx })],
      ['org/Qwen3-Embedding', config({ model_type: 'qwen3', ...mlx })],
      ['org/embedding-gemma', config({ model_type: 'gemma3_text', ...mlx })],
    ],
    embeds,
  );
  expect(found.map((model) => [model.model_type, model.runtime_compatible])).toEqual([
    ['embedding', true],
    ['embedding', false],
    ['embedding', true],
    ['base', false],
  ]);
  expect(found[1]?.reason).toBe('Embedding encoder not supported: xlm-roberta');
  expect(found[0]?.capabilities).toEqual(['embeddings']);
});

test('[store K40] a video processor takes vision away, unless a vision config or the type sets it', async () => {
  const processor = (value: object): ModelFiles => ({ 'preprocessor_config.json': JSON.stringify(value) });
  const found = await judged([
    ['org/x', { ...llama, ...processor({ size: 1 }) }],
    ['org/x', { ...llama, ...processor({ temporal_patch_size: 2 }) }],
    ['org/x', { ...llama, ...processor({ processor_class: 'AutoVideoProcessor' }) }],
    ['org/x', { ...llama, ...processor({ size: 1 }), 'video_preprocessor_config.json': '{}' }],
    ['org/x', { ...config({ model_type: 'llama', vision_config: { depth: 1 } }), ...processor({ temporal_patch_size: 2 }) }],
    ['org/x', { ...config({ model_type: 'qwen2_vl' }), ...processor({ temporal_patch_size: 2 }) }],
  ]);
  expect(found.map((model) => model.capabilities.includes('vision'))).toEqual([true, false, false, false, true, true]);
});

test('[store K41] [store K42] the first failing gate is the reason: vectors V1 to V17', async () => {
  const mlx = { 'config.json': JSON.stringify({ model_type: 'llama', quantization: { group_size: 64, bits: 4 } }) };
  const unknown = { 'config.json': JSON.stringify({ model_type: 'strange', quantization: { group_size: 64, bits: 4 } }) };
  const plain = { 'config.json': JSON.stringify({ model_type: 'llama' }) };
  const strange = { 'config.json': JSON.stringify({ model_type: 'strange' }) };
  const shards = { 'model-00001-of-00002.safetensors': 'x', 'model-00002-of-00002.safetensors': 'x' };
  const index = JSON.stringify({ weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' } });
  const legacy = 'Legacy format not supported by mlx-lm';
  const vectors: readonly (readonly [string, string, ModelFiles, health: string, compatible: boolean, reason: string | RegExp | null])[] = [
    ['V1', 'org/x', { 'model.gguf': 'x' }, 'unhealthy', false, 'config.json missing'],
    ['V2', 'org/x', { 'weights.00.safetensors': 'x' }, 'unhealthy', false, 'config.json missing'],
    ['V3', 'org/x', { ...plain, 'weights.00.gguf': 'x' }, 'healthy', false, /GGUF/],
    ['V4', 'org/x', { ...plain, 'model.safetensors': 'x' }, 'healthy', false, 'Incompatible framework: PyTorch'],
    ['V5', 'org/x', { ...mlx, 'weights.00.safetensors': 'x' }, 'healthy', false, legacy],
    ['V6', 'org/x', { ...unknown, 'weights.00.safetensors': 'x', 'weights.01.safetensors': 'x' }, 'healthy', false, legacy],
    ['V7', 'org/x', { ...unknown, 'pytorch_model-00001.safetensors': 'x' }, 'healthy', false, legacy],
    ['V8', 'org/x', { ...mlx, 'model.safetensors': 'x' }, 'healthy', true, null],
    ['V9', 'org/x', { ...mlx, ...shards, 'model.safetensors.index.json': index }, 'healthy', true, null],
    ['V10', 'org/x', { ...unknown, 'model.safetensors': 'x' }, 'healthy', false, /model_type 'strange'/],
    ['V11', 'mlx-community/x', { ...plain, 'model.safetensors': 'x' }, 'healthy', true, null],
    ['V12', 'org/x', { 'model.safetensors': 'x' }, 'unhealthy', false, 'config.json missing'],
    ['V13', 'org/x', { ...plain, 'model.gguf': 'x' }, 'healthy', false, /GGUF/],
    ['V14', 'mlx-community/x', { ...strange, 'pytorch_model-00001.safetensors': 'x' }, 'healthy', false, legacy],
    ['V16', 'org/x', { ...mlx, 'weights.00.safetensors': 'x', 'model.safetensors': 'x' }, 'healthy', true, null],
    ['V17', 'org/x', mlx, 'unhealthy', false, 'No model weights found'],
    ['no type', 'mlx-community/x', { 'config.json': '{"a":1}', 'model.safetensors': 'x' }, 'healthy', false, 'config.json missing model_type field'],
  ];
  for (const [title, name, files, health, compatible, reason] of vectors) {
    const [model] = await judged([[name, files]]);
    expect([title, model?.health, model?.runtime_compatible]).toEqual([title, health, compatible]);
    if (reason instanceof RegExp) expect(model?.reason).toMatch(reason);
    else expect([title, model?.reason]).toEqual([title, reason]);
  }
});

test('PyTorch weights pass when every header parses and holds plain floating-point tensors, or codes that the config explains', async () => {
  const codes = safetensors('U8');
  const refused = 'Incompatible framework: PyTorch';
  const found = await judged([
    ['org/x', { ...llama, 'model.safetensors': safetensors('F16', { format: 'pt' }) }],
    ['org/x', { ...llama, 'model.safetensors': safetensors('F64') }],
    ['org/x', { ...llama, 'model.safetensors': safetensors('I16') }],
    ['org/x', { 'config.json': '{"model_type":"llama","quantization_config":{"quant_method":"awq"}}', 'model.safetensors': codes }],
    ['org/x', { ...llama, 'model.safetensors': codes }],
    ['org/x', { 'config.json': '{"model_type":"llama"}', 'pytorch_model.bin': 'x' }],
  ]);
  expect(found.map((model) => model.reason)).toEqual([null, refused, refused, null, refused, refused]);
});

test('a snapshot and its workspace copy get the same answer, by the origin of the sentinel', async () => {
  await using temp = await makeTempStore();
  const files = config({ model_type: 'llama' });
  await cacheModel(temp.cacheDirectory, 'mlx-community/some-chat', files);
  await writeFiles(join(temp.workspaceHome, 'copy'), {
    ...files,
    '.mlxk_workspace.json': JSON.stringify({ managed: true, source_repo: 'mlx-community/some-chat' }),
  });
  const cached = (await temp.store.show({ reference: 'mlx-community/some-chat' })).model;
  const copy = (await temp.store.show({ reference: 'copy' })).model;
  const judgement = ({ framework, model_type, capabilities, health, runtime_compatible, reason }: ModelObject): unknown[] => [
    framework,
    model_type,
    capabilities,
    health,
    runtime_compatible,
    reason,
  ];
  expect(judgement(copy)).toEqual(judgement(cached));
  expect(copy).toMatchObject({ origin: 'mlx-community/some-chat', framework: 'MLX', cached: false, clean: null, hash: null });
});

test('what is reachable is listed per declared feature, with the engine or the reason', async () => {
  await using temp = await makeTempStore();
  await cacheModel(temp.cacheDirectory, 'org/x', mlxModel({ 'preprocessor_config.json': '{"size":1}' }));
  const { reachable } = await temp.store.show({ reference: 'org/x' });
  expect(reachable).toMatchObject({ text: { ok: true, engine: 'fake', reason: null }, chat: { ok: true }, vision: { ok: false, engine: null } });
});
