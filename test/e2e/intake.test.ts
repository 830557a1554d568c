import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { envelopeSchema } from '../../src/contract/index.ts';
import { startFakeHub } from '../support/fake-hub.ts';
import { createTestHome } from '../support/hearth-process.ts';
import { type ModelFiles, mlxModel, safetensorsBytes, writeFiles } from '../support/temp-store.ts';

const SOUND = mlxModel({ 'model.safetensors': safetensorsBytes({ 'a.weight': [4, 4] }), 'README.md': '# A model' });
const PICKLE = Buffer.from('\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.', 'latin1');
const config = (more: object) => JSON.stringify({ model_type: 'llama', quantization: { group_size: 64, bits: 4 }, hidden_size: 64, ...more });

async function withModel(files: ModelFiles) {
  const home = await createTestHome();
  await writeFiles(join(home.directory, 'repositories/org/m/main'), files);
  const hub = await startFakeHub(join(home.directory, 'repositories'));
  const env = { HF_ENDPOINT: hub.endpoint, HEARTH_HUB_CDN_HOSTS: hub.cdnHost };
  return {
    home,
    hub,
    run: (...args: string[]) => home.run(args, { env }),
    directory: join(home.hfHome, 'hub/models--org--m'),
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]();
      await home[Symbol.asyncDispose]();
    },
  };
}

/** Names below a directory, files and links. */
const below = async (path: string): Promise<string[]> =>
  (await readdir(path, { recursive: true, withFileTypes: true }).catch(() => [])).filter((entry) => !entry.isDirectory()).map(({ name }) => name);

test('a sound model comes as simply as ever: what is refused by name is not fetched, and what is known of it is kept', async () => {
  await using at = await withModel({ ...SOUND, 'pytorch_model.bin': PICKLE, 'modeling_evil.py': 'import os' });
  const pulled = await at.run('pull', 'org/m', '--json');
  expect(pulled.code).toBe(0);
  expect(envelopeSchema.parse(JSON.parse(pulled.stdout)).data).toMatchObject({
    download_status: 'success',
    skipped: ['modeling_evil.py', 'pytorch_model.bin'],
  });
  expect(at.hub.requests.some(({ path }) => /\.(bin|py)$/.test(path))).toBe(false);
  const [name, ...others] = await readdir(join(at.home.home, 'state/intake'));
  expect(others).toEqual([]);
  expect(JSON.parse(await readFile(join(at.home.home, 'state/intake', name!), 'utf8'))).toMatchObject({ id: 'org/m', origin: 'hub', files: expect.any(Array) });
});

test.each<[string, ModelFiles, string]>([
  ['a pickle named as weights', { 'model.safetensors': PICKLE }, 'intake_format_refused'],
  ['a header with an overlap', { 'model.safetensors': Buffer.from('\x02\0\0\0\0\0\0\0{}', 'latin1') }, 'st_no_tensors'],
  ['a setting that points at code', { 'config.json': config({ model_file: 'evil.py' }) }, 'config_code_pointer'],
  ['a key twice', { 'config.json': '{"model_type": "llama", "model_type": "evil"}' }, 'config_json'],
  [
    'a template that never ends',
    { 'chat_template.jinja': '{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}' },
    'template_limit',
  ],
])(
  '[security G19] [security G20] a pull of a model with %s is refused with its reason, leaves nothing that can be loaded, and one event',
  async (_, files, reason) => {
    await using at = await withModel({ ...SOUND, ...files });
    const pulled = await at.run('pull', 'org/m', '--json');
    expect(pulled.code).toBe(1);
    expect(envelopeSchema.parse(JSON.parse(pulled.stdout)).error).toMatchObject({ code: 'model_refused', detail: expect.objectContaining({ reason }) });
    expect(await below(at.directory)).toEqual([]);
    expect(pulled.stderr + pulled.stdout).toMatch(/org\/m is refused: .+\. Nothing of it can be loaded\./);
    const log = (
      await Promise.all(
        (
          await readdir(join(at.home.home, 'audit'))
        )
          .filter((name) => name.endsWith('.jsonl'))
          .map((name) => readFile(join(at.home.home, 'audit', name), 'utf8')),
      )
    ).join('');
    const refused = log.split('\n').filter((line) => line.includes('"model.refused"'));
    expect(refused.map((line) => (JSON.parse(line) as { reason: string }).reason)).toEqual([reason]);
  },
);
