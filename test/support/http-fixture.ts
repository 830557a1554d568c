import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { type Api, type ApiOptions, createApi, type Listener, type ListenOptions, listen } from '../../src/api/index.ts';
import { type Client, createClient } from '../../src/client/index.ts';
import { HearthError } from '../../src/core/index.ts';
import type { Engine } from '../../src/engines/index.ts';
import { createGateway, type Gateway, type GatewayOptions, type ListedModel, type ModelSource } from '../../src/gateway/index.ts';
import type { Store } from '../../src/store/index.ts';
import { createSupervisor, type Enclosure, type Supervisor } from '../../src/supervisor/index.ts';
import { createFakeEngine, type FakeEngineFlags } from './fake-engine.ts';

export interface HttpFixture extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly api: Api;
  readonly listener: Listener;
  readonly baseUrl: string;
  /** The official client, without its own retries. */
  readonly openai: OpenAI;
  /** The same of the other API. */
  readonly anthropic: Anthropic;
  /** Children started so far. */
  starts(): number;
  /** The most children that were alive when another one was started, that one included. */
  mostAlive(): number;
  /** Ours, in process: every scope. */
  readonly client: Client;
}

export interface HttpFixtureOptions {
  readonly engines?: readonly Engine[];
  readonly models?: ModelSource;
  readonly store?: Store;
  readonly gateway?: Partial<GatewayOptions>;
  readonly api?: Partial<ApiOptions>;
  readonly listen?: Partial<ListenOptions>;
  readonly enclosure?: Enclosure;
}

/** A server on a free port: fake engine in a real process unless another is given. */
export async function startHttp(flags: FakeEngineFlags = {}, options: HttpFixtureOptions = {}): Promise<HttpFixture> {
  const supervisor = createSupervisor({ environment: process.env, ...(options.enclosure ? { enclosure: options.enclosure } : {}) });
  const models = options.models ?? fakeModels(['org/fake']);
  let starts = 0;
  let alive = 0;
  let mostAlive = 0;
  const counted: Supervisor = {
    async start(spec) {
      starts += 1;
      alive += 1;
      mostAlive = Math.max(mostAlive, alive);
      const child = await supervisor.start(spec);
      void child.channel.exited.then(() => {
        alive -= 1;
      });
      return child;
    },
    [Symbol.asyncDispose]: () => supervisor[Symbol.asyncDispose](),
  };
  const gateway = createGateway({ models, engines: options.engines ?? [createFakeEngine(flags)], supervisor: counted, restartDelayMs: 1, ...options.gateway });
  const api = createApi({ gateway, store: options.store ?? noStore, version: '0.0.0-test', ...options.api });
  const listener = await listen(api, { port: 0, ...options.listen });
  const baseUrl = `http://127.0.0.1:${listener.port}`;
  return {
    gateway,
    api,
    listener,
    baseUrl,
    starts: () => starts,
    mostAlive: () => mostAlive,
    openai: new OpenAI({ baseURL: `${baseUrl}/v1`, apiKey: 'any', maxRetries: 0 }),
    anthropic: new Anthropic({ baseURL: baseUrl, apiKey: 'any', maxRetries: 0 }),
    client: createClient({ baseUrl: 'http://hearth', fetch: (request) => api.request(request) }),
    async [Symbol.asyncDispose]() {
      await listener.close();
      await gateway.close({ drainTimeoutMs: 0 });
      await supervisor[Symbol.asyncDispose]();
    },
  };
}

/** Names without files, for an engine that needs none. */
export function fakeModels(names: readonly string[]): ModelSource {
  const rows = names.map(
    (id): ListedModel => ({
      id,
      hash: 'f'.repeat(40),
      facts: {
        directory: `/nowhere/${id}`,
        framework: 'MLX',
        architecture: 'fake',
        config: { vocab_size: 1000 },
        weightFiles: [],
        weightBytes: 1,
        hasChatTemplate: true,
      },
      createdAtMs: 1_700_000_000_000,
      sizeBytes: 1,
      contextTokens: 2048,
      quantization: null,
      capabilities: ['text-generation', 'chat'],
    }),
  );
  return {
    async resolve(name) {
      const exact = rows.find(({ id }) => id === name);
      const matches = exact ? [exact] : rows.filter(({ id }) => id.includes(name));
      if (matches.length === 1) return matches[0]!;
      if (matches.length === 0) throw new HearthError('model_not_found', `There is no model ${name}.`, { details: { param: 'model' } });
      throw new HearthError('ambiguous_match', `${name} fits several models.`, { details: { param: 'model', matches: matches.map(({ id }) => id) } });
    },
    async resolvePath(path) {
      const found = rows.find(({ facts }) => facts.directory === path);
      if (found) return found;
      throw new HearthError('model_not_found', `There is no model at ${path}.`);
    },
    list: async () => rows,
  };
}

const noStore = new Proxy({} as Store, {
  get() {
    throw new Error('this test has no store');
  },
});
