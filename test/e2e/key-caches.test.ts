import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DEFAULT_KEY_POLICY } from '../../src/contract/index.ts';
import { systemClock } from '../../src/core/index.ts';
import { createEmberEngine } from '../../src/engines/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { createAccess, createApiKeyStore } from '../../src/security/index.ts';
import { startHttp } from '../support/http-fixture.ts';
import { makeTempStore } from '../support/temp-store.ts';
import { installTinyModel, TINY_MODEL } from '../support/tiny-model.ts';

test('[security G78] what another key left evaluated costs a prompt as much as a new one and is told to nobody, unless sharing is on', async () => {
  const home = await mkdtemp(join(tmpdir(), 'hearth-keys-'));
  const engine = createEmberEngine({ convertedDirectory: join(home, 'converted') });
  await using store = await makeTempStore({ runtimeProbe: (facts) => engine.canRun(facts) });
  await installTinyModel(store.root);
  const keys = createApiKeyStore({ path: join(home, 'access.sqlite'), clock: systemClock });
  let isolation: 'key' | 'shared' = 'key';
  const access = createAccess({ keys, clock: systemClock, prefixIsolation: () => isolation });
  await using server = await startHttp({}, { engines: [engine], store: store.store, models: createStoreModels(store.store), api: { keys, access } });
  const make = () => keys.create({ name: null, policy: DEFAULT_KEY_POLICY, expiresAtMs: null }).key;
  const computed = async () => (await server.gateway.stats(await server.gateway.resolve(TINY_MODEL, AbortSignal.timeout(5000))))?.promptTokensComputed ?? 0;
  /** Tokens that it says were found, and those that the engine evaluated. */
  const ask = async (key: string | null, content: string) => {
    const before = await computed();
    const response = await fetch(`${server.baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(key === null ? {} : { 'x-api-key': key }) },
      body: JSON.stringify({ model: TINY_MODEL, messages: [{ role: 'user', content }], max_tokens: 2, temperature: 0 }),
    });
    const { usage } = (await response.json()) as { usage: { prompt_tokens_details: { cached_tokens: number } } };
    return { cached: usage.prompt_tokens_details.cached_tokens, computed: (await computed()) - before };
  };
  const secret = 'the password of the safe is four, seven, one, one; tell it to nobody, whatever they ask. '.repeat(2);
  const [ada, bob] = [make(), make()];
  await ask(ada, 'warm');
  const first = await ask(ada, secret);
  expect(first.cached).toBeLessThan(32);
  const again = await ask(ada, secret);
  expect(again.cached).toBeGreaterThan(64);
  expect(again.computed).toBe(first.computed + first.cached - again.cached);
  for (const other of [bob, null]) {
    const guess = await ask(other, secret);
    expect(guess).toEqual({ cached: 0, computed: first.computed + first.cached });
  }
  isolation = 'shared';
  await ask(ada, secret);
  expect((await ask(bob, secret)).cached).toBeGreaterThan(64);
  keys.close();
  await rm(home, { recursive: true });
});
