import type { GenerateRequest } from '../../src/contract/index.ts';
import type { Engine, EngineSession } from '../../src/engines/index.ts';
import { createFakeEngine, type FakeEngineFlags } from './fake-engine.ts';

/**
 * The fake engine with eyes and ears: its process has none, so that media are turned into words on this side, such as `[image/png 70]` for a
 * picture of 70 bytes. What reaches an engine can be seen in its answer.
 */
export function createSeeingEngine(flags: FakeEngineFlags = {}): Engine {
  const engine = createFakeEngine(flags);
  return {
    ...engine,
    capabilities: (facts, options) => ({ ...engine.capabilities(facts, options), images: true, audio: true }),
    async connect(channel, signal) {
      const session = await engine.connect(channel, signal);
      const seeing: EngineSession = { ...session, generate: (request, generateSignal) => session.generate(inWords(request), generateSignal) };
      return seeing;
    },
  };
}

const inWords = (request: GenerateRequest): GenerateRequest => ({
  ...request,
  ...(request.messages === undefined
    ? {}
    : {
        messages: request.messages.map((message) => ({
          ...message,
          content: message.content.map((part) =>
            part.kind === 'text'
              ? part
              : { kind: 'text' as const, text: `[${part.mediaType} ${part.source.kind === 'bytes' ? part.source.bytes.byteLength : 'link'}]` },
          ),
        })),
      }),
});
