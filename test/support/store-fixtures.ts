import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheModel, ggufHead, type ModelFiles, writeFiles } from './temp-store.ts';

/** One model of each kind that health, detection and the runtime gate tell apart (docs/spec/store.md §4, §5). */
export interface StoreFixture {
  readonly name: string;
  readonly files: ModelFiles;
}

/** A strict safetensors file of one F16 number. */
function tensorFile(metadata?: Readonly<Record<string, string>>): Buffer {
  const header = JSON.stringify({ ...(metadata === undefined ? {} : { __metadata__: metadata }), t: { dtype: 'F16', shape: [1], data_offsets: [0, 2] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, Buffer.from(header), Buffer.alloc(2)]);
}

const json = (value: unknown): string => JSON.stringify(value);
const mlx = { quantization: { group_size: 64, bits: 4 } };
const sizes = {
  max_position_embeddings: 2048,
  vocab_size: 128,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
};
const { num_key_value_heads: _, rms_norm_eps: __, rope_theta: ___, ...encoderSizes } = sizes;
const llama = { model_type: 'llama', architectures: ['LlamaForCausalLM'], ...sizes, ...mlx };
const tokens = { 'tokenizer.json': '{}', 'tokenizer_config.json': json({ chat_template: '{{ messages }}' }) };
const weights = { 'model.safetensors': 'weights' };
const shard = (number: number, total: number): string => `model-0000${number}-of-0000${total}.safetensors`;
const index = (...files: string[]): string => json({ metadata: { total_size: 1 }, weight_map: Object.fromEntries(files.map((file, i) => [`t${i}`, file])) });
const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 5\n';
const model = (config: object, extra: ModelFiles = {}): ModelFiles => ({ 'config.json': json(config), ...weights, ...tokens, ...extra });
const without = (files: ModelFiles, ...names: string[]): ModelFiles => Object.fromEntries(Object.entries(files).filter(([name]) => !names.includes(name)));
const bare = (config: object, extra: ModelFiles = {}): ModelFiles => ({ 'config.json': json(config), ...weights, ...extra });

const unquantised = { model_type: 'llama', ...sizes };
const vision = { model_type: 'qwen2_vl', vision_config: { depth: 2 }, ...sizes, ...mlx };
const processor = { 'preprocessor_config.json': json({ size: 1 }) };

export const STORE_FIXTURES: readonly StoreFixture[] = Object.entries({
  // Whole and runnable
  'mlx-community/Llama-4bit': model(llama),
  'mlx-community/Llama-Instruct-4bit': bare(llama),
  'mlx-community/sharded': without(
    model(llama, { 'model.safetensors.index.json': index(shard(1, 2), shard(2, 2)), [shard(1, 2)]: 'x', [shard(2, 2)]: 'x' }),
    'model.safetensors',
  ),
  'org/quantised': model(llama),
  'org/readme-tag': model(unquantised, { 'README.md': '---\ntags:\n- text\n- MLX\n---\n' }),
  'org/readme-library': model(unquantised, { 'README.md': '---\nlibrary_name: mlx\n---\n' }),
  'org/bf16-mlx-header': model(unquantised, { 'model.safetensors': tensorFile({ format: 'mlx' }) }),
  'org/nested-text-config': model({ model_type: 'gemma3', text_config: { ...sizes, max_position_embeddings: 512 }, ...mlx }),
  'org/template-jinja': bare(llama, { 'tokenizer.json': '{}', 'chat_template.jinja': '{{ messages }}' }),
  'org/template-json': bare(llama, { 'tokenizer.json': '{}', 'chat_template.json': json({ chat_template: '{{ messages }}' }) }),
  'org/template-in-tokenizer': bare(llama, { 'tokenizer.json': json({ chat_template: '{{ messages }}' }) }),
  'org/template-list': bare(llama, { 'tokenizer.json': '{}', 'tokenizer_config.json': json({ chat_template: [{ name: 'default', template: 'x' }] }) }),
  'org/no-template': bare(llama, { 'tokenizer.json': '{}' }),
  'org/partial-in-a-name': model(llama, { 'partial_rotary.py': 'x' }),
  // Not MLX
  'org/pytorch': model(unquantised),
  'org/pytorch-plain': model(unquantised, { 'model.safetensors': tensorFile({ format: 'pt' }) }),
  'org/pytorch-bin': without(model(unquantised, { 'pytorch_model.bin': 'x' }), 'model.safetensors'),
  'org/gguf-with-config': without(model(unquantised, { 'model.gguf': ggufHead({ 'general.architecture': 'llama' }) }), 'model.safetensors'),
  'org/gguf-alone': { 'model.gguf': ggufHead({ 'general.architecture': 'llama', 'tokenizer.chat_template': '{{ x }}' }) },
  'org/gguf-bad': { 'model.gguf': 'x' },
  'org/unknown-kind': { 'config.json': json(unquantised), 'weights.npz': 'x' },
  // Vision, audio, embeddings
  'mlx-community/Vision': model(vision, processor),
  'org/vision-without-processor': model(vision),
  'org/vision-embedded-processor': model({ ...vision, image_processor: { size: 1 } }),
  'org/vision-broken-processor': model(vision, { 'preprocessor_config.json': '{' }),
  'org/vision-by-file': model(llama, processor),
  'org/video-only': model(llama, { 'preprocessor_config.json': json({ temporal_patch_size: 2 }) }),
  'org/video-file': model(llama, { ...processor, 'video_preprocessor_config.json': '{}' }),
  'org/empty-media-configs': model({ ...llama, audio_config: null, vision_config: {} }),
  'org/gemma3n': model({ model_type: 'gemma3n', vision_config: { a: 1 }, audio_config: { a: 1 }, ...mlx }, processor),
  'openai/whisper-large-v3': bare({ model_type: 'whisper', ...mlx }, { 'tokenizer.json': '{}' }),
  'openai/whisper-large-v3-turbo': bare({ model_type: 'whisper', ...mlx }, { 'tokenizer.json': '{}' }),
  'openai/whisper-tiny.en': bare({ model_type: 'whisper', ...mlx }, { 'tokenizer.json': '{}' }),
  'org/vibevoice': bare({ model_type: 'vibevoice_asr', ...mlx }, { 'tokenizer.json': '{}' }),
  'org/voxtral': bare({ model_type: 'voxtral', audio_config: { a: 1 }, ...mlx }, { 'tekken.json': '{}' }),
  'org/bert-encoder': bare({ model_type: 'bert', ...encoderSizes, ...mlx }, { 'tokenizer.json': '{}' }),
  'org/xlm-roberta': bare({ model_type: 'xlm-roberta', ...mlx }, { 'tokenizer.json': '{}' }),
  'mlx-community/Qwen3-Embedding-0.6B': bare(
    { model_type: 'qwen3', architectures: ['Qwen3ForCausalLM'], ...sizes, head_dim: 16, ...mlx },
    { 'tokenizer.json': '{}' },
  ),
  'org/embeddinggemma': bare({ model_type: 'gemma3_text', ...mlx }, { 'tokenizer.json': '{}' }),
  // Whole, and nobody runs them
  'org/strange-type': model({ model_type: 'strange', ...mlx }),
  'mlx-community/no-type': model({ a: 1 }),
  'org/legacy-weights': without(model(llama, { 'weights.00.safetensors': 'x' }), 'model.safetensors'),
  'mlx-community/legacy-pytorch-names': without(model(unquantised, { 'pytorch_model-00001.safetensors': 'x' }), 'model.safetensors'),
  'org/legacy-and-modern': model(llama, { 'weights.00.safetensors': 'x' }),
  // Broken
  'org/no-config': without(model(llama), 'config.json'),
  'org/bad-config': model(llama, { 'config.json': '{' }),
  'org/zero-config': model(llama, { 'config.json': '' }),
  'org/empty-config': model(llama, { 'config.json': '{}' }),
  'org/no-weights': without(model(llama), 'model.safetensors'),
  'org/empty-weights': model(llama, { 'model.safetensors': '' }),
  'org/pointer': model(llama, { 'model.safetensors': POINTER }),
  'org/pointer-below': model(llama, { 'extra/vocab.bin': POINTER }),
  'org/partial': model(llama, { 'model.safetensors.partial': 'x' }),
  'org/temporary': model(llama, { 'x.tmp': 'x' }),
  'org/indexed-partial': without(
    model(llama, { 'model.safetensors.index.json': index(shard(1, 1)), [shard(1, 1)]: 'x', 'x.partial': 'x' }),
    'model.safetensors',
  ),
  'org/shard-missing': without(model(llama, { 'model.safetensors.index.json': index(shard(1, 2), shard(2, 2)), [shard(1, 2)]: 'x' }), 'model.safetensors'),
  'org/shard-mismatch': model(llama, { 'model.safetensors.index.json': index(shard(1, 2), shard(2, 2)) }),
  'org/shards-no-index': without(model(llama, { [shard(1, 2)]: 'x', [shard(2, 2)]: 'x' }), 'model.safetensors'),
  'org/shard-gap': without(model(llama, { [shard(1, 3)]: 'x', [shard(3, 3)]: 'x' }), 'model.safetensors'),
  'org/bad-index': model(llama, { 'model.safetensors.index.json': '{' }),
  'org/empty-index': model(llama, { 'model.safetensors.index.json': '{"weight_map":{}}' }),
  'org/tokenizer-config-alone': without(model(llama), 'tokenizer.json'),
  'org/sentencepiece': without(model(llama, { 'tokenizer.model': 'x' }), 'tokenizer.json'),
  'org/bad-tokenizer-config': model(llama, { 'tokenizer_config.json': '{' }),
}).map(([name, files]) => ({ name, files }));

/** Workspaces of the workspace home: managed with a current hash, changed since, of the older format, unmanaged, broken. */
const WORKSPACES: Readonly<Record<string, ModelFiles>> = {
  unmanaged: model(llama, { 'model.safetensors': tensorFile() }),
  'my-Vision': model(vision, processor),
  'old-format': model(llama, {
    '.mlxk_workspace.json': json({ mlxk_version: '2.0.4', managed: true, source_repo: 'mlx-community/Llama-4bit', operation: 'clone' }),
  }),
  broken: without(model(llama), 'model.safetensors'),
  'not-a-model': { 'notes.txt': 'x' },
};

/** Writes all fixtures: `<root>/hf/hub` (cache, with malformed directories and two revisions), `<root>/workspaces`, `<root>/elsewhere`. */
export async function writeStoreFixtures(root: string): Promise<{ readonly hfHome: string; readonly workspaceHome: string; readonly elsewhere: string }> {
  const hub = join(root, 'hf', 'hub');
  for (const { name, files } of STORE_FIXTURES) await cacheModel(hub, name, files);
  await cacheModel(hub, 'org/two-revisions', model(llama), { commit: 'a'.repeat(40), ref: 'main' });
  await cacheModel(hub, 'org/two-revisions', model({ ...llama, hidden_size: 65 }), { commit: 'b'.repeat(40), ref: 'dev' });
  await mkdir(join(hub, 'models--a--b---c'), { recursive: true });
  await mkdir(join(hub, 'models--org--no-snapshot', 'snapshots'), { recursive: true });
  await mkdir(join(hub, 'models--org--TEST-CACHE-SENTINEL'), { recursive: true });
  const workspaceHome = join(root, 'workspaces');
  for (const [name, files] of Object.entries(WORKSPACES)) await writeFiles(join(workspaceHome, name), files);
  const elsewhere = join(root, 'elsewhere');
  for (const name of ['gemma-one', 'gemma-two', 'other']) await writeFiles(join(elsewhere, name), model(llama));
  return { hfHome: join(root, 'hf'), workspaceHome, elsewhere };
}
