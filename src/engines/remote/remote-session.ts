import type { ChatMessage, GenerateEvent, GenerateRequest } from '../../contract/index.ts';
import { HearthError, isHearthError, isJsonObject } from '../../core/index.ts';
import type { EngineSession, LoadReport } from '../port.ts';
import type { Remote } from './create-remote.ts';
import { listPeerModels } from './health.ts';
import { encodeMessages } from './openai/encode.ts';
import type { RemoteModel } from './remote-options.ts';
import { remoteOptionsSchema } from './remote-schema.ts';

const NOTHING = { weightsBytes: 0, kvBytes: 0, computeBytes: 0, processBytes: 0 };
/** A template or a tokenizer of the other side may have to be loaded first. */
const ASK_MS = 120_000;

/** A model of a server as a session of the port. Without a lifecycle: `load` only looks, `close` only leaves (docs/spec/engines.md §4). */
export function openRemoteSession(remote: Remote, described: (name: string) => RemoteModel): EngineSession {
  let model: RemoteModel | null = null;
  const closed = Promise.withResolvers<{ readonly reason: string }>();

  const current = (): RemoteModel => {
    if (model === null) throw new HearthError('invalid_argument', 'The session of a remote was not told its model.');
    return model;
  };
  const lacks = (what: string) => (): never => {
    throw new HearthError('not_implemented', `${what} is not there for a model of another server.`);
  };
  async function ask(path: string, body: Record<string, unknown>, signal = new AbortController().signal): Promise<Record<string, unknown>> {
    const { text } = await remote.fetch(path, { signal, body: { model: current().ownName, ...body }, timeoutMs: ASK_MS });
    const value: unknown = JSON.parse(text);
    if (!isJsonObject(value)) throw new HearthError('upstream_malformed', `${remote.name} answered ${path} with what is no object.`);
    return value;
  }

  /** vLLM's names, else those of llama.cpp, which hearth shares (docs/spec/serving.md §1.1). */
  const byPrompt = remote.kind !== 'peer' && remote.dialect.tokenizesContent !== true;
  const tokensOf = async (body: Record<string, unknown>): Promise<number[]> => (await ask('/tokenize', body))['tokens'] as number[];
  const textOf = async (tokens: readonly number[]): Promise<string> => String((await ask('/detokenize', { tokens }))[byPrompt ? 'prompt' : 'content']);

  return {
    async load(given, _onProgress, signal): Promise<LoadReport> {
      const startedAt = performance.now();
      const options = remoteOptionsSchema.parse(given);
      const listed = (await listPeerModels(remote, signal).catch(() => [])).find(({ name }) => name === options.model);
      model = { ...described(options.model), ...(listed?.contextTokens == null ? {} : { contextTokens: listed.contextTokens }) };
      const contextTokens = options.contextTokens ?? model.contextTokens ?? 0;
      const about = { version: 'remote', device: 'remote', contextTokens, modelContextTokens: contextTokens, parallelSequences: 1, ranks: 0 };
      return { ...about, measured: NOTHING, loadMs: performance.now() - startedAt };
    },
    async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
      try {
        const answer = await remote.send({ model: current().ownName, request, stream: true, signal }, current());
        if (answer.kind !== 'events') return;
        for await (const event of answer.events) {
          // Events that came together are here already: those behind a cancel are not told.
          signal.throwIfAborted();
          yield event;
        }
      } catch (error) {
        const told = signal.aborted ? new HearthError('cancelled', 'The request was cancelled.') : error;
        if (!isHearthError(told)) throw error;
        yield { kind: 'error', code: told.code, message: told.message };
      }
    },
    async tokenize(input) {
      if ('messages' in input) return await tokensOf({ messages: encodeMessages(input.messages) });
      if (byPrompt) return await tokensOf({ prompt: input.text, add_special_tokens: input.addSpecial });
      return await tokensOf({ content: input.text, add_special: input.addSpecial, parse_special: input.parseSpecial });
    },
    detokenize: textOf,
    async applyTemplate(messages: readonly ChatMessage[], templateArguments) {
      const more = templateArguments === undefined ? {} : { chat_template_kwargs: templateArguments };
      // vLLM has no path for the text, but gives its tokens.
      if (byPrompt) return await textOf(await tokensOf({ messages: encodeMessages(messages), ...more }));
      return String((await ask('/apply-template', { messages: encodeMessages(messages), ...more }))['prompt']);
    },
    async embed(inputs, { signal } = {}) {
      if (!current().capabilities.includes('embeddings')) lacks('An embedding')();
      const reply = await ask('/v1/embeddings', { input: inputs, encoding_format: 'float' }, signal);
      const rows = (reply['data'] as { index: number; embedding: number[] }[]).toSorted((a, b) => a.index - b.index);
      const total = Number((reply['usage'] as { prompt_tokens?: number } | undefined)?.prompt_tokens ?? 0);
      return { vectors: rows.map(({ embedding }) => Float32Array.from(embedding)), promptTokens: rows.map(() => total / rows.length) };
    },
    async rerank(query, documents, signal) {
      if (!current().capabilities.includes('rerank')) lacks('Ranking')();
      const reply = await ask('/v1/rerank', { query, documents, return_documents: false }, signal);
      const scores = documents.map(() => 0);
      for (const { index, relevance_score: score } of reply['results'] as { index: number; relevance_score: number }[]) scores[index] = score;
      return { scores, promptTokens: Number((reply['usage'] as { total_tokens?: number } | undefined)?.total_tokens ?? 0) };
    },
    score: async () => lacks('Scoring of given tokens')(),
    adapters: { load: async () => lacks('Loading of adapters')(), unload: async () => lacks('Unloading of adapters')(), list: async () => [] },
    setThreads: async () => {},
    async health() {
      return await remote.fetch('/health', { signal: new AbortController().signal }).then(
        () => ({ ok: true }),
        () => ({ ok: false }),
      );
    },
    stats: async () => lacks('A count of steps')(),
    clearCache: async () => {},
    async close() {
      remote[Symbol.dispose]();
      closed.resolve({ reason: 'closed' });
    },
    closed: closed.promise,
    async [Symbol.asyncDispose]() {
      await this.close();
    },
  };
}
