import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { GenerateEvent, GenerateRequest } from '../../src/contract/index.ts';
import type { FeatureVerdict } from '../../src/core/index.ts';
import type { AdapterSet, Engine, EngineSession, Feature } from '../../src/engines/port.ts';
import type { ProcessExit, Supervisor } from '../../src/supervisor/index.ts';
import { fakeCapabilities } from './fake-engine.ts';

export interface InProcessEngineOptions {
  /** Words of an answer; one is one token. */
  readonly tokens?: number;
  /** Before the first word. */
  readonly firstMs?: number;
  /** Between two words; absent: none. */
  readonly tokenMs?: number;
  readonly parallelSequences?: number;
}

/** An engine without a process: for what is measured or repeated very often around it. It needs `processlessSupervisor`. */
export function createInProcessEngine(options: InProcessEngineOptions = {}): Engine {
  const contextTokens = 1_000_000;
  const yes: FeatureVerdict = { ok: true, engine: 'in-process', reason: null };
  const no: FeatureVerdict = { ok: false, engine: null, reason: 'text only' };
  return {
    id: 'in-process',
    probe: async () => ({ available: true, version: 'fake', device: 'none', devices: ['none'] }),
    canRun: () => ({ text: yes, chat: yes, vision: no, audio: no, embeddings: no, rerank: no }) satisfies Record<Feature, FeatureVerdict>,
    capabilities: () => fakeCapabilities(contextTokens),
    estimate: () => ({ weightsBytes: 1, kvBytesPerToken: 0, kvPoolBytes: 1, computeBytes: 0, processBytes: 0 }),
    optionsSchema: z.looseObject({}),
    prepare: async (facts) => ({ facts, directory: facts.directory }),
    processSpec: () => ({
      command: '/nowhere',
      args: [],
      cwd: '/',
      env: {},
      channel: 'ipc',
      readPaths: [],
      writePaths: [],
      devices: 'none',
      memoryBytes: 1,
      threads: 0,
      startTimeoutMs: 1,
      stopGraceMs: 1,
    }),
    connect: async () => session(options, contextTokens),
  };
}

function session({ tokens = 16, firstMs = 0, tokenMs = 0, parallelSequences = 4096 }: InProcessEngineOptions, contextTokens: number): EngineSession {
  const { promise: closed, resolve: close } = Promise.withResolvers<{ reason: string }>();
  const none = async () => {
    throw new Error('text only');
  };
  const adapters: AdapterSet = { load: none, unload: none, list: async () => [] };
  const measured = { weightsBytes: 1, kvBytes: 1, computeBytes: 0, processBytes: 0 };
  return {
    load: async () => ({ version: 'fake', device: 'none', contextTokens, modelContextTokens: contextTokens, parallelSequences, ranks: 0, measured, loadMs: 0 }),
    generate: (request, signal) => answer(request, signal, { tokens, firstMs, tokenMs }),
    tokenize: async () => [1],
    detokenize: async () => '',
    applyTemplate: async () => '',
    embed: none,
    rerank: none,
    score: none,
    adapters,
    setThreads: async () => {},
    health: async () => ({ ok: true }),
    stats: none,
    clearCache: async () => {},
    close: async () => close({ reason: 'closed' }),
    closed,
    async [Symbol.asyncDispose]() {
      close({ reason: 'closed' });
    },
  } as EngineSession;
}

async function* answer(
  request: GenerateRequest,
  signal: AbortSignal,
  { tokens, firstMs, tokenMs }: Required<Pick<InProcessEngineOptions, 'tokens' | 'firstMs' | 'tokenMs'>>,
): AsyncGenerator<GenerateEvent, void> {
  const count = Math.min(tokens, request.maxTokens ?? tokens);
  yield { kind: 'start', promptTokens: 8, cachedTokens: 0 };
  if (firstMs > 0) await sleep(firstMs, undefined, { signal });
  for (let i = 0; i < count; i += 1) {
    if (i > 0 && tokenMs > 0) await sleep(tokenMs, undefined, { signal });
    yield { kind: 'text-delta', choice: 0, text: i === 0 ? 'tok' : ' tok' };
  }
  yield { kind: 'finish', choice: 0, reason: 'stop' };
  yield { kind: 'usage', promptTokens: 8, cachedTokens: 0, completionTokens: count, reasoningTokens: 0 };
  yield { kind: 'end' };
}

/** Starts nothing, and says that it runs. */
export const processlessSupervisor: Supervisor = {
  async start() {
    const { promise: exited, resolve } = Promise.withResolvers<ProcessExit>();
    const end = () => resolve({ code: 0, signal: null, lastLines: [] });
    return {
      pid: 0,
      channel: { send() {}, onMessage() {}, refuse: end, exited },
      async stop() {
        end();
        return { method: 'graceful' };
      },
      kill: end,
      async [Symbol.asyncDispose]() {
        end();
      },
    };
  },
  async [Symbol.asyncDispose]() {},
};
