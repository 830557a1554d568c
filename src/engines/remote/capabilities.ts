import type { Capabilities } from '../port.ts';
import type { WireDialect } from './dialects.ts';

/** Words for what a model of a remote can do: in the configuration, and in the lists of peers. */
export const REMOTE_CAPABILITIES = [
  'chat',
  'completions',
  'tools',
  'forced_tool_choice',
  'json_schema',
  'grammar',
  'logit_bias',
  'seed',
  'logprobs',
  'choices',
  'images',
  'audio',
  'embeddings',
  'rerank',
  'reasoning',
  'adapters',
] as const;
export type RemoteCapability = (typeof REMOTE_CAPABILITIES)[number];

/** The context of a model whose context nobody told: requests are not cut by it. */
const UNKNOWN_CONTEXT = 1_000_000;

/** What was not said is not declared: a request for it is 400 (docs/spec/engines.md §4). */
export function capabilitiesOf(words: readonly string[], contextTokens: number | null, dialect: WireDialect): Capabilities {
  const has = (word: RemoteCapability): boolean => words.includes(word);
  const { ignores } = dialect;
  return {
    tools: has('tools'),
    forcedToolChoice: has('forced_tool_choice') && !ignores.has('tool_choice'),
    jsonSchema: has('json_schema') && !ignores.has('response_format'),
    grammar: has('grammar'),
    logitBias: has('logit_bias'),
    seed: has('seed'),
    maxLogprobs: has('logprobs') && !ignores.has('logprobs') ? 20 : 0,
    maxChoices: has('choices') && !ignores.has('n') ? 8 : 1,
    images: has('images'),
    audio: has('audio'),
    embeddings: has('embeddings'),
    rerank: has('rerank'),
    transcription: false,
    translation: false,
    adaptersPerRequest: has('adapters'),
    batching: true,
    prefixCache: 'none',
    reasoning: has('reasoning'),
    contextTokens: contextTokens ?? UNKNOWN_CONTEXT,
  };
}

/** Words of the lists of peers for ours; others are the same. */
const PEER_WORDS: Readonly<Record<string, readonly RemoteCapability[]>> = {
  'text-generation': ['completions'],
  vision: ['images'],
};

/** What a peer says of a model that can chat: it is as strict as we are, so that a chat model has what every chat model has here. */
export function peerCapabilities(listed: readonly string[]): readonly string[] {
  const told = listed.flatMap((word): readonly string[] => PEER_WORDS[word] ?? [word]);
  const always = told.includes('chat') || told.includes('completions') ? ['seed', 'logit_bias', 'logprobs', 'choices', 'completions'] : [];
  const shaped = told.includes('json_schema') ? ['grammar'] : [];
  const forced = told.includes('tools') ? ['forced_tool_choice'] : [];
  return [...new Set([...told, ...always, ...shaped, ...forced])];
}
