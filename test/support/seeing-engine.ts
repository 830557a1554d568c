import type { GenerateRequest } from '../../src/contract/index.ts';
import type { Engine, EngineSession, Transcription, TranscriptionWork } from '../../src/engines/index.ts';
import { createFakeEngine, type FakeEngineFlags } from './fake-engine.ts';

/**
 * The fake engine with eyes and ears: its process has none, so that media are turned into words on this side, such as `[image/png 70]` for a
 * picture of 70 bytes. What reaches an engine can be seen in its answer.
 */
export function createSeeingEngine(flags: FakeEngineFlags & { readonly speech?: 'transcribe' | 'translate' } = {}): Engine {
  const engine = createFakeEngine(flags);
  return {
    ...engine,
    canRun: (facts) => {
      const verdicts = engine.canRun(facts);
      return { ...verdicts, vision: verdicts.text, audio: verdicts.text };
    },
    capabilities: (facts, options) => ({
      ...engine.capabilities(facts, options),
      images: true,
      audio: true,
      transcription: flags.speech !== undefined,
      translation: flags.speech === 'translate',
    }),
    async connect(channel, signal) {
      const session = await engine.connect(channel, signal);
      const seeing: EngineSession = {
        ...session,
        generate: (request, generateSignal) => session.generate(inWords(request), generateSignal),
        transcribe: async (work) => heard(work),
      };
      return seeing;
    },
  };
}

/** Two segments that tell what the engine was given. */
const heard = ({ task, bytes, mediaType, language = 'de', prompt, temperature }: TranscriptionWork): Transcription => ({
  text: ` ${task} ${mediaType} ${bytes.byteLength} ${prompt ?? '-'} ${temperature}`,
  language,
  seconds: 3_725.5,
  segments: [
    { startSeconds: 0, endSeconds: 1.25, text: ` ${task}` },
    { startSeconds: 1.25, endSeconds: 3_725.5, text: ' a --> b\n\n2' },
  ],
});

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
