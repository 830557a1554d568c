import { cp, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endpoints } from '../../src/contract/index.ts';
import { createEmberEngine } from '../../src/engines/index.ts';
import { type BaseModule, openCheckpoint, writeMlxAdapter } from '../../src/formats/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { createTestHome, type TestHome } from '../support/hearth-process.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';
import { runInProcess } from '../support/run-cli.ts';
import { makeTempStore, type TempStore } from '../support/temp-store.ts';
import { makeTinyAdapter } from '../support/tiny-adapter.ts';
import { installTinyModel, TINY_MODEL } from '../support/tiny-model.ts';

const GOLDEN = join(import.meta.dirname, '../reference/goldens/llama-bf16-tied');

describe('an adapter in the home', () => {
  let home: TestHome;
  const adapters = () => join(home.home, 'adapters');
  const run = (args: readonly string[]) =>
    runInProcess(['run', 'tiny-llama', '--temperature', '0', '--max-tokens', '12', ...args, 'hello'], { directory: home.directory });

  beforeAll(async () => {
    home = await createTestHome();
    await installTinyModel(home.hfHome);
    await using checkpoint = await openCheckpoint(GOLDEN);
    const base = [...checkpoint.tensors.values()]
      .filter(({ name, shape }) => name.endsWith('_proj.weight') && shape.length === 2)
      .map(({ name, shape }): BaseModule => ({ path: name.replace(/\.weight$/, ''), kind: 'linear', outputs: shape[0]!, inputs: shape[1]!, experts: 1 }));
    await mkdir(home.home, { recursive: true, mode: 0o700 });
    await mkdir(adapters(), { mode: 0o700 });
    await writeMlxAdapter(join(adapters(), 'mine'), makeTinyAdapter(base, { scale: 1 }), { model: 'org/base' });
    await writeMlxAdapter(join(adapters(), 'foreign'), makeTinyAdapter(base.map((module) => ({ ...module, inputs: module.inputs + 1 }))));
    await writeMlxAdapter(join(adapters(), 'declared'), makeTinyAdapter(base, { seed: 2 }), { model: TINY_MODEL });
    await cp(join(adapters(), 'mine', 'adapters.safetensors'), join(adapters(), 'bare', 'adapters.safetensors'));
  });
  afterAll(async () => {
    await home[Symbol.asyncDispose]();
  });

  it('changes what the model says; at a scale of 0 it says what it says without', async () => {
    const [without, one, none] = [await run([]), await run(['--adapter', 'mine']), await run(['--adapter', 'mine', '--adapter-scale', '0'])];
    expect([without.code, one.code, none.code]).toEqual([0, 0, 0]);
    expect(one.stdout).not.toBe(without.stdout);
    expect(none.stdout).toBe(without.stdout);
  });

  it('is used as well when the name of the model holds it, and never left out in silence', async () => {
    const named = (name: string, args: readonly string[] = []) =>
      runInProcess(['run', name, '--temperature', '0', '--max-tokens', '12', ...args, 'hello'], { directory: home.directory });
    const [without, byField, byName] = [await run([]), await run(['--adapter', 'mine']), await named('tiny-llama+mine')];
    expect([byName.code, byName.stdout]).toEqual([0, byField.stdout]);
    expect(byName.stdout).not.toBe(without.stdout);
    const codeOf = async (name: string, ...args: string[]) => {
      const { stdout, stderr } = await named(name, ['--json', ...args]);
      return /"code":\s*"(\w+)"/.exec(stdout + stderr)?.[1] ?? `${stdout}${stderr}`;
    };
    expect(await codeOf('tiny-llama+mine', '--adapter', 'foreign')).toBe('adapter_conflict');
    expect(await codeOf('tiny-llama+nowhere')).toBe('adapter_not_found');
  });

  describe('over HTTP', () => {
    const base = TINY_MODEL;
    let server: HttpFixture;
    let store: TempStore;
    beforeAll(async () => {
      const engine = createEmberEngine({ convertedDirectory: join(home.home, 'converted'), adaptersDirectory: adapters() });
      store = await makeTempStore({ runtimeProbe: (facts) => engine.canRun(facts) });
      await installTinyModel(store.root);
      const routing = { aliases: { 'gpt-*': base } };
      server = await startHttp({}, { engines: [engine], store: store.store, models: createStoreModels(store.store), gateway: { routing } });
    });
    afterAll(async () => {
      await server?.[Symbol.asyncDispose]();
      await store?.[Symbol.asyncDispose]();
    });

    const turns = [{ role: 'user' as const, content: 'hello' }];
    const dialects: Record<string, (model: string) => Promise<{ readonly model: string; readonly text: string }>> = {
      chat: async (model) => {
        const answer = await server.openai.chat.completions.create({ model, messages: turns, temperature: 0, max_tokens: 12 });
        return { model: answer.model, text: answer.choices[0]!.message.content! };
      },
      'a stream of chat': async (model) => {
        let text = '';
        let named = '';
        for await (const chunk of await server.openai.chat.completions.create({ model, messages: turns, temperature: 0, max_tokens: 12, stream: true })) {
          named = chunk.model;
          text += chunk.choices[0]?.delta.content ?? '';
        }
        return { model: named, text };
      },
      completions: async (model) => {
        const answer = await server.openai.completions.create({ model, prompt: 'hello', temperature: 0, max_tokens: 12 });
        return { model: answer.model, text: answer.choices[0]!.text };
      },
      messages: async (model) => {
        const answer = await server.anthropic.messages.create({ model, messages: turns, max_tokens: 12, ...{ temperature: 0 } });
        return { model: answer.model, text: answer.content.map((block) => (block.type === 'text' ? block.text : '')).join('') };
      },
      responses: async (model) => {
        const answer = await server.openai.responses.create({ model, input: 'hello', temperature: 0, max_output_tokens: 12 });
        return { model: answer.model, text: answer.output_text };
      },
      // Without a limit of tokens the answer is as long as half the context: its beginning is there at once all the same.
      'the beginning of a stream of responses': async (model) => {
        let named = '';
        let text = '';
        for await (const event of await server.openai.responses.create({ model, input: 'hello', temperature: 0, stream: true })) {
          if (event.type === 'response.created') named = event.response.model;
          if (event.type === 'response.output_text.delta') text += event.delta;
          if (event.type === 'response.failed' || text.length >= 8) break;
        }
        return { model: named, text: text.slice(0, 8) };
      },
    };

    it.each(Object.keys(dialects))('`base+adapter` answers as the field `adapter` does, and says so: %s', async (dialect) => {
      const ask = dialects[dialect]!;
      const [plain, named, aliased] = [await ask(base), await ask(`${base}+mine`), await ask('gpt-9+mine')];
      expect(named).toEqual({ model: `${base}+mine`, text: expect.any(String) });
      expect(named.text).not.toBe(plain.text);
      expect(plain.model).toBe(base);
      expect(aliased).toEqual(named);
      if (dialect === 'chat') {
        const body = { model: base, messages: turns, temperature: 0, max_tokens: 12, adapter: 'mine' } as const;
        const field = await server.openai.chat.completions.create(body);
        expect({ model: field.model, text: field.choices[0]!.message.content }).toEqual(named);
      }
    });

    it.each(Object.keys(dialects))('an adapter that is absent, or is no name, is refused: %s', async (dialect) => {
      const codeOf = async (model: string) => {
        const refused = await dialects[dialect]!(model).then(
          () => null,
          (error: { status?: number; code?: string; error?: { error?: { details?: { error_code?: string } } } }) => error,
        );
        return [refused?.status, refused?.code ?? refused?.error?.error?.details?.error_code];
      };
      expect(await codeOf(`${base}+nowhere`)).toEqual([404, 'adapter_not_found']);
      expect(await codeOf(`${base}+foreign`)).toEqual([409, 'adapter_base_mismatch']);
      expect((await codeOf(`${base}+../mine`))[0]).toBe(400);
      expect((await codeOf(`${base}+`))[0]).toBe(400);
    });

    it('is in the list of models with its base when it names that base or is loaded, and is loaded and unloaded by itself', async () => {
      const listed = async () => (await server.openai.models.list()).data.map(({ id }) => id);
      const load = (body: object) => server.client.call(endpoints.loadModel, { body: body as { model: string } });
      const unload = (model: string) => server.client.call(endpoints.unloadModel, { body: { model } });
      await unload(base);
      expect(await listed()).toEqual([base, `${base}+declared`]);
      expect(await load({ model: `${base}+mine` })).toMatchObject({ id: base, adapters: ['mine'], state: 'ready' });
      const { pid } = await load({ model: base, adapter: 'declared' });
      expect(await listed()).toEqual([base, `${base}+declared`, `${base}+mine`]);
      expect(await server.openai.models.retrieve(`${base}+mine`)).toMatchObject({ id: `${base}+mine`, object: 'model', parent: base, status: 'ready' });
      expect(await server.openai.models.retrieve(base)).toMatchObject({ id: base, hearth: { adapters: ['declared', 'mine'] } });
      expect((await server.anthropic.models.list()).data.map(({ id }) => id)).toEqual([base, `${base}+declared`, `${base}+mine`]);
      await expect(server.openai.models.retrieve(`${base}+nowhere`)).rejects.toMatchObject({ status: 404, code: 'adapter_not_found' });

      expect(await unload(`${base}+mine`)).toEqual({ id: `${base}+mine`, unloaded: true });
      expect(await unload(`${base}+mine`)).toEqual({ id: `${base}+mine`, unloaded: false });
      expect(await listed()).toEqual([base, `${base}+declared`]);
      // The base was not touched.
      expect(await load({ model: base })).toMatchObject({ pid, adapters: ['declared'] });

      await expect(load({ model: `${base}+mine`, adapter: 'declared' })).rejects.toMatchObject({ code: 'adapter_conflict' });
      await expect(load({ model: base, adapter: 'nowhere' })).rejects.toMatchObject({ code: 'adapter_not_found' });
      await expect(load({ model: base, adapter: '../mine' })).rejects.toMatchObject({ code: 'invalid_value' });
    });

    it('a name and a field that differ are a conflict; vectors have no adapter', async () => {
      const body = { model: `${base}+mine`, messages: turns, max_tokens: 1, adapter: 'foreign' } as const;
      await expect(server.openai.chat.completions.create(body)).rejects.toMatchObject({ status: 400, code: 'adapter_conflict', param: 'adapter' });
      await expect(server.openai.embeddings.create({ model: `${base}+mine`, input: 'a' })).rejects.toMatchObject({ status: 400, param: 'model' });
    });
  });

  it('that is absent, incomplete or made for another base is refused with its own code', async () => {
    const codeOf = async (...args: string[]): Promise<string> => {
      const { stdout, stderr } = await run(['--json', ...args]);
      return /"code":\s*"(\w+)"/.exec(stdout + stderr)?.[1] ?? `${stdout}${stderr}`;
    };
    expect(await codeOf('--adapter', 'nowhere')).toBe('adapter_not_found');
    expect(await codeOf('--adapter', 'bare')).toBe('adapter_config_missing');
    expect(await codeOf('--adapter', 'foreign')).toBe('adapter_base_mismatch');
    for (const name of ['../mine', '/etc', 'a b']) expect(await codeOf('--adapter', name)).toBe('invalid_value');
    expect(await codeOf('--adapter-scale', '1')).toBe('invalid_value');
  });
});
