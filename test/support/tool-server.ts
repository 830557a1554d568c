import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEmberEngine } from '../../src/engines/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { type HttpFixture, startHttp } from './http-fixture.ts';
import { makeTempStore } from './temp-store.ts';
import { installTinyModel, TINY_COMMIT, TINY_MODEL } from './tiny-model.ts';

/** Tools, calls, results, and a reasoning part that `enable_thinking` opens. */
const TEMPLATE =
  "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n{% endif %}{{ m['content'] }}{% for tool_call in m.tool_calls or [] %}<tool_call>{{ tool_call.function.name }}{{ tool_call.function.arguments | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}";

export interface ToolServer extends AsyncDisposable {
  readonly server: HttpFixture;
  readonly model: string;
}

/** A server over random weights whose template has places for tools and reasoning; one character is one token. */
export async function startToolServer(options: { readonly contextTokens?: number; readonly api?: Parameters<typeof startHttp>[1] } = {}): Promise<ToolServer> {
  const contextTokens = options.contextTokens ?? 16_384;
  const home = await mkdtemp(join(tmpdir(), 'hearth-tools-'));
  const engine = createEmberEngine({ convertedDirectory: join(home, 'converted') });
  const store = await makeTempStore({ runtimeProbe: (facts) => engine.canRun(facts) });
  await installTinyModel(store.root);
  const change = async (file: string, edit: (content: Record<string, unknown>) => object): Promise<void> => {
    const path = join(store.cacheDirectory, `models--${TINY_MODEL.replace('/', '--')}`, 'snapshots', TINY_COMMIT, file);
    await writeFile(path, JSON.stringify(edit(JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>)));
  };
  await change('tokenizer_config.json', (config) => ({ ...config, chat_template: TEMPLATE }));
  await change('config.json', (config) => ({ ...config, max_position_embeddings: contextTokens }));
  const server = await startHttp(
    {},
    { engines: [engine], store: store.store, models: createStoreModels(store.store), gateway: { contextTokens }, ...options.api },
  );
  return {
    server,
    model: TINY_MODEL,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await rm(home, { recursive: true, force: true });
    },
  };
}
