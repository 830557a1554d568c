import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEmberEngine } from '../../src/engines/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { type HttpFixture, type HttpFixtureOptions, startHttp } from './http-fixture.ts';
import { makeTempStore } from './temp-store.ts';
import { installTinyEncoder } from './tiny-encoder.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL } from './tiny-model.ts';

/** The token that opens calls; a bias of +100 makes the weights want it everywhere. */
export const CALL_MARK = 100;
export const TOOL_MODEL = TINY_MODEL;
const TEMPLATE =
  "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{% for tool_call in m.tool_calls or [] %}<tool_call>{{ tool_call.function.name }}{{ tool_call.function.arguments | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}";

/** A server over ember, with a model of vectors and one of random weights whose template knows tools and reasoning: it keeps to nothing by itself, so that what it keeps is enforced. */
export async function startToolServer(options: HttpFixtureOptions = {}): Promise<HttpFixture> {
  const home = await mkdtemp(join(tmpdir(), 'hearth-tools-'));
  const engine = createEmberEngine({ convertedDirectory: join(home, 'converted') });
  const store = await makeTempStore({ runtimeProbe: (facts) => engine.canRun(facts) });
  await installTinyModel(store.root);
  await installTinyEncoder(store.root);
  const change = async (file: string, edit: (content: Record<string, unknown>) => object): Promise<void> => {
    const path = join(store.cacheDirectory, `models--${TOOL_MODEL.replace('/', '--')}`, 'snapshots', TINY_COMMIT, file);
    await writeFile(path, JSON.stringify(edit(JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>)));
  };
  await change('tokenizer_config.json', (config) => ({ ...config, chat_template: TEMPLATE }));
  await change('config.json', (config) => ({ ...config, max_position_embeddings: 8_192 }));
  await change('tokenizer.json', (file) => {
    const parts = file as { added_tokens: object[]; model: { vocab: Record<string, number> } };
    const { [`Ġword${CALL_MARK}`]: _, ...vocab } = parts.model.vocab;
    const mark = { id: CALL_MARK, content: '<tool_call>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: false };
    return { ...file, added_tokens: [...parts.added_tokens, mark], model: { ...parts.model, vocab: { ...vocab, '<tool_call>': CALL_MARK } } };
  });
  const server = await startHttp(
    {},
    { engines: [engine], store: store.store, models: createStoreModels(store.store), ...options, gateway: { contextTokens: 8_192, ...options.gateway } },
  );
  return {
    ...server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await rm(home, { recursive: true, force: true });
    },
  };
}
