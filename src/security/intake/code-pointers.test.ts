import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IntakeRun, startIntake } from '../../../test/support/intake-run.ts';
import { recordPath } from '../index.ts';

let run: IntakeRun;
beforeAll(async () => {
  run = await startIntake();
});
afterAll(() => run?.[Symbol.asyncDispose]());

const EVIL = 'evil.py';
/** Key, a value that is refused, and one that says nothing. */
const REFUSED: readonly (readonly [key: string, bad: unknown, harmless: unknown])[] = [
  ['model_file', EVIL, null],
  ['_attn_implementation_internal', 'org/kernels', null],
  ['custom_pipelines', { x: { impl: 'evil.Pipeline' } }, {}],
  ['custom_generate', 'org/evil', ''],
  ['trust_remote_code', true, false],
  ['hub_kernel', 'org/evil', ''],
  ['attention_hub_repo', 'org/evil', null],
  ['model_type', '../evil', 'xlm-roberta'],
  ['model_type', 'a.b', 'RefinedWeb'],
  ['model_type', 'x'.repeat(65), 'qwen3_moe'],
  ['tool_parser_type', 'evil-parser', 'json_tools'],
  ['chat_template_type', 'a/b', 'chatml'],
  ['architectures', ['LlamaForCausalLM', 'os.system'], ['LlamaForCausalLM']],
  ['tokenizer_class', 'os;system', 'LlamaTokenizer'],
  ['processor_class', ['LlavaProcessor', '__import__("os")'], null],
  ['feature_extractor_type', 'a.B', 'WhisperFeatureExtractor'],
  ['image_processor_type', '1Up', 'CLIPImageProcessor'],
];
const PLACES: Readonly<Record<string, (key: string, value: unknown) => unknown>> = {
  'at the top': (key, value) => ({ [key]: value }),
  'in an object': (key, value) => ({ text_config: { vision: { [key]: value } } }),
  'in a list': (key, value) => ({ parts: [1, { deep: [{ [key]: value }] }] }),
};
const FILES = ['config.json', 'tokenizer_config.json', 'generation_config.json', 'preprocessor_config.json', '1_Pooling/config.json', 'adapter_config.json'];

describe('[security G20] keys that point at code', () => {
  test.each(REFUSED)(
    '%s = %j is refused in every JSON file, at the top and nested, with one event that names file, key and action',
    async (key, bad, harmless) => {
      for (const [place, put] of Object.entries(PLACES)) {
        for (const [index, file] of FILES.entries()) {
          const [request] = await Promise.all([run.write({ [file]: JSON.stringify(put(key, bad)) })]);
          const purpose = (['pull', 'import', 'load'] as const)[index % 3]!;
          const admit = run.intake.admit({ id: 'org/model', revision: 'c'.repeat(40), purpose, files: request });
          await expect(admit, `${place} of ${file}`).rejects.toMatchObject({ code: 'model_refused', details: { reason: 'config_code_pointer' } });
          const events = run.events();
          expect(events).toMatchObject([
            { event: 'model.refused', outcome: 'denied', model: { id: 'org/model' }, reason: 'config_code_pointer', details: { purpose } },
          ]);
          const [finding] = (events[0]!.details as { findings: { file: string; key: string }[] }).findings;
          expect(finding).toMatchObject({ file, key: expect.stringMatching(new RegExp(`(^|\\.)${key}$`)) });
          expect(JSON.stringify(events)).not.toContain(run.root);
        }
        expect([place, await run.codeOf({ 'config.json': JSON.stringify(put(key, harmless)) })]).toEqual([place, 'taken']);
      }
      expect(run.events()).toEqual([]);
    },
  );

  test('auto_map is taken out of what engines see, at any depth; the stored bytes stay, and one event says so', async () => {
    const config = {
      model_type: 'llama',
      auto_map: { AutoModel: 'modeling.Evil' },
      text_config: { auto_map: { AutoConfig: 'evil.C' }, hidden_size: 64 },
      parts: [{ auto_map: 'x', keep: 1 }],
      empty: { auto_map: {} },
    };
    const text = JSON.stringify(config).replace('"hidden_size":64', '"hidden_size":64,"limit":Infinity');
    const files = await run.write({ 'config.json': text, 'tokenizer_config.json': '{"a": 1}' });
    const report = await run.intake.admit({ id: 'org/model', revision: null, purpose: 'import', files });
    expect(report.cleaned).toMatchObject([{ path: 'config.json', keys: ['auto_map', 'text_config.auto_map', 'parts[0].auto_map'] }]);
    const cleaned = report.cleaned[0]!;
    const written = Buffer.from(cleaned.bytes).toString();
    expect(written).toContain('"limit": Infinity');
    expect(JSON.parse(written.replace('Infinity', '1e9'))).toEqual({
      model_type: 'llama',
      text_config: { hidden_size: 64, limit: 1e9 },
      parts: [{ keep: 1 }],
      empty: { auto_map: {} },
    });
    expect(cleaned.sha256).toBe(createHash('sha256').update(cleaned.bytes).digest('hex'));
    expect(await readFile(files[0]!.source, 'utf8')).toBe(text);
    expect(run.events()).toEqual([
      {
        event: 'input.rejected',
        outcome: 'ok',
        model: { id: 'org/model' },
        reason: 'config_code_pointer',
        details: { file: 'config.json', keys: ['auto_map', 'text_config.auto_map', 'parts[0].auto_map'], action: 'strip' },
      },
    ]);
  });

  test('modules.json may name the modules of vectors alone', async () => {
    const modules = (...types: unknown[]) => ({ 'modules.json': JSON.stringify(types.map((type, idx) => ({ idx, name: String(idx), path: '', type }))) });
    const models = (name: string) => `sentence_transformers.models.${name}`;
    expect(await run.codeOf(modules(models('Transformer'), models('Pooling'), models('Normalize')))).toBe('taken');
    for (const type of ['modeling_evil.Evil', 'os.system', models('Evil'), `x.${models('Pooling')}`, models('Pooling.x'), null, 7, undefined])
      expect([type, await run.codeOf(modules(models('Transformer'), type))]).toEqual([type, 'config_code_pointer']);
  });

  test('names of origin are kept and never resolved; words of a vocabulary and names of tensors are no keys', async () => {
    const kept = { _name_or_path: '/home/x/evil.py', base_model_name_or_path: 'org/base', model: 'org/base' };
    const tokenizer = { model: { vocab: { model_file: 1, auto_map: 2, hub_: 3, __proto__x: 4, custom_generate: 5, trust_remote_code: 6 } } };
    const report = await run.inspect({
      'config.json': JSON.stringify(kept),
      'adapter_config.json': JSON.stringify(kept),
      'tokenizer.json': JSON.stringify(tokenizer).replace('__proto__x', '__proto__'),
      'model.safetensors.index.json': JSON.stringify({ metadata: {}, weight_map: { 'a.b_class': 'model-00001-of-00001.safetensors' } }),
    });
    expect(report).toMatchObject({ findings: [], cleaned: [] });
  });

  test.each([
    ['a key twice', '{"a": 1, "a": 2}'],
    ['a key twice, once escaped', '{"model_type": "llama", "model\\u005ftype": "evil"}'],
    ['a prototype', '{"__proto__": {"x": 1}}'],
    ['65 levels', `${'['.repeat(65)}${']'.repeat(65)}`],
    ['no JSON', '{'],
    ['two documents', '{} {}'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])],
    ['more than 64 MiB', `{"a": "${'x'.repeat(64 * 2 ** 20)}"}`],
  ])('a JSON file with %s is refused', async (_, content) => {
    expect(await run.codeOf({ 'config.json': content })).toBe('config_json');
  });

  test('a model that enters has a record of what is known of it; one that is refused has none', async () => {
    const files = await run.write({ 'config.json': '{"auto_map": {"a": "b"}}', 'chat_template.jinja': '{{ messages[0].content | shell }}' });
    await run.intake.admit({
      id: 'org/kept',
      revision: 'd'.repeat(40),
      purpose: 'pull',
      origin: 'hub',
      files: files.map((file) => ({ ...file, sha256: '0'.repeat(64) })),
    });
    const record: unknown = JSON.parse(await readFile(recordPath(join(run.root, 'records'), 'org/kept', 'd'.repeat(40)), 'utf8'));
    expect(record).toMatchObject({
      id: 'org/kept',
      revision: 'd'.repeat(40),
      origin: 'hub',
      files: [{ path: 'config.json', sha256: '0'.repeat(64) }, { path: 'chat_template.jinja' }],
      templates: [{ file: 'chat_template.jinja', sha256: createHash('sha256').update('{{ messages[0].content | shell }}').digest('hex') }],
      cleaned: [{ path: 'config.json', keys: ['auto_map'] }],
      warnings: expect.arrayContaining([expect.objectContaining({ code: 'template_name', message: expect.stringContaining('filter shell') })]),
    });
    const before = await readdir(join(run.root, 'records'));
    await expect(
      run.intake.admit({ id: 'org/bad', revision: null, purpose: 'pull', files: await run.write({ 'config.json': '{"model_file": "x.py"}' }) }),
    ).rejects.toMatchObject({ code: 'model_refused' });
    expect(await readdir(join(run.root, 'records'))).toEqual(before);
  });
});

test('an index of shards that leads out of its directory is refused; one that does not agree with the shards is left to the health check', async () => {
  const index = (file: unknown): Readonly<Record<string, string>> => ({
    'model.safetensors.index.json': JSON.stringify({ metadata: { total_size: 4 }, weight_map: { a: file } }),
  });
  for (const file of ['../secret.safetensors', '/etc/x.safetensors', 'sub/a.safetensors', 'a.bin', 'a\u0000.safetensors', 7])
    expect([file, await run.codeOf(index(file))]).toEqual([file, 'st_index_name']);
  expect(await run.codeOf(index('model-00001-of-00002.safetensors'))).toBe('taken');
});
