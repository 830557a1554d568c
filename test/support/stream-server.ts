/*
 * A server of its own process over a gateway without models: each stream has as many words as its prompt names, as fast as they are taken.
 * Its parent measures its memory from outside. It prints its port, and then what its parent asks for over IPC.
 */
import { createApi, listen } from '../../src/api/index.ts';
import type { GenerateEvent } from '../../src/contract/index.ts';
import type { Answer, AnswerCall, Gateway } from '../../src/gateway/index.ts';
import { fakeCapabilities } from './fake-engine.ts';
import { fakeModels } from './http-fixture.ts';

let unhandled = 0;
process.on('unhandledRejection', () => {
  unhandled += 1;
});
process.on('uncaughtException', () => {
  unhandled += 1;
});
let running = 0;

const models = fakeModels(['org/fake']);
const gateway = {
  sampling: { temperature: 0, topP: 1, repetitionPenalty: 1 },
  draining: false,
  resolve: models.resolve,
  list: models.list,
  stateOf: () => undefined,
  snapshot: () => ({ seq: 0, models: [] }),
  async answer(call: AnswerCall): Promise<Answer> {
    const target = { id: 'org/fake', upstream: 'none', capabilities: fakeCapabilities(2048), generationConfig: {}, vocabularySize: 1000 };
    const request = call.decode(target as never);
    await call.admit?.(request, target as never);
    call.onAdmitted?.();
    const words = request.maxTokens ?? 3;
    async function* events(): AsyncGenerator<GenerateEvent, void> {
      running += 1;
      try {
        yield { kind: 'start', promptTokens: 1, cachedTokens: 0 };
        for (let word = 0; word < words && !call.signal.aborted; word += 1) yield { kind: 'text-delta', choice: 0, text: 'x'.repeat(200) };
        yield { kind: 'finish', choice: 0, reason: 'stop' };
        yield { kind: 'usage', promptTokens: 1, cachedTokens: 0, completionTokens: words, reasoningTokens: 0 };
        yield { kind: 'end' };
      } finally {
        running -= 1;
      }
    }
    const source = { model: 'org/fake', hash: null, upstream: 'none', version: null, device: null };
    const timings = () => ({ loadMs: 0, queueMs: 0, prefillMs: 0, decodeMs: 0, firstTokenMs: 0, gapsMs: [] });
    return { source, attempts: [], events: events(), timings, usage: () => null } as never;
  },
} as unknown as Gateway;

const options = JSON.parse(process.argv[2] ?? '{}') as { api?: object; server?: object };
const api = createApi({ gateway, store: {} as never, version: 'test', ...options.api });
const listener = await listen(api, { port: 0, ...(options.server ? { server: options.server } : {}) });
process.on('message', () => process.send!({ unhandled, running, rssKib: process.resourceUsage().maxRSS, rssBytes: process.memoryUsage.rss() }));
process.on('disconnect', () => process.exit(0));
process.send!({ port: listener.port });
