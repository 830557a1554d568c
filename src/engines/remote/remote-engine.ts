import { HearthError } from '../../core/index.ts';
import type { Engine } from '../port.ts';
import { capabilitiesOf } from './capabilities.ts';
import { createRemote } from './create-remote.ts';
import { WIRE_DIALECTS } from './dialects.ts';
import type { RemoteModel, RemoteOptions } from './remote-options.ts';
import { remoteOptionsSchema } from './remote-schema.ts';
import { openRemoteSession } from './remote-session.ts';

/** A server behind the engine port: no process, no memory, no lifecycle (docs/spec/engines.md §4). Its models are those that the options describe. */
export function createRemoteEngine(options: RemoteOptions): Engine {
  const dialect = WIRE_DIALECTS[options.dialect ?? 'standard'];
  const described = (name: string): RemoteModel =>
    options.models.find(({ ownName }) => ownName === name) ?? { name, ownName: name, capabilities: [], contextTokens: null, maxOutputTokens: null };
  const modelOf = (given: unknown): RemoteModel => {
    const parsed = remoteOptionsSchema.safeParse(given);
    if (!parsed.success) throw new HearthError('engine_options_invalid', `The options of a remote are not right: ${parsed.error.issues[0]?.message ?? ''}`);
    const model = described(parsed.data.model);
    return { ...model, contextTokens: parsed.data.contextTokens ?? model.contextTokens };
  };
  return {
    id: 'remote',
    async probe(signal) {
      using remote = createRemote(options);
      const about = { version: 'remote', device: 'remote', devices: ['remote'] };
      return await remote.fetch('/v1/models', { signal }).then(
        () => ({ ...about, available: true }),
        (error: unknown) => ({ ...about, available: false, reason: error instanceof Error ? error.message : String(error) }),
      );
    },
    canRun(_facts, given) {
      const words = given === undefined ? options.models.flatMap(({ capabilities }) => capabilities) : modelOf(given).capabilities;
      const verdict = (word: string) =>
        words.includes(word) ? { ok: true, engine: 'remote', reason: null } : { ok: false, engine: null, reason: `${options.name} does not declare ${word}` };
      return {
        text: verdict('completions'),
        chat: verdict('chat'),
        vision: verdict('images'),
        audio: verdict('audio'),
        embeddings: verdict('embeddings'),
        rerank: verdict('rerank'),
      };
    },
    capabilities(_facts, given) {
      const { capabilities, contextTokens } = modelOf(given);
      return capabilitiesOf(capabilities, contextTokens, dialect);
    },
    estimate: () => ({ weightsBytes: 0, kvBytesPerToken: 0, kvPoolBytes: 0, computeBytes: 0, processBytes: 0 }),
    optionsSchema: remoteOptionsSchema,
    prepare: async (facts) => ({ facts, directory: facts.directory }),
    processSpec: () => null,
    async connect(channel) {
      const baseUrl = channel instanceof URL ? channel.href : options.baseUrl;
      return openRemoteSession(createRemote({ ...options, baseUrl }), described);
    },
  };
}
