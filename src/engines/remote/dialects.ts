/** Known departures of servers from the API that they speak, each as a small repair (docs/spec/serving.md §2.7). */
export interface WireDialect {
  /** Bytes go through as they are where the client speaks the same API. */
  readonly passthrough: boolean;
  /** Field of the limit of new tokens. */
  readonly limitField: 'max_tokens' | 'max_completion_tokens';
  /** Fields of requests that it ignores or chokes on: not sent, and not among its capabilities. */
  readonly ignores: ReadonlySet<'tool_choice' | 'response_format' | 'n' | 'logprobs' | 'stream_options'>;
  /** Statuses that stand for others. */
  readonly statuses: Readonly<Record<number, number>>;
  /** Comments that tell how far the prompt is: their numbers are done and total. */
  readonly progress: RegExp | null;
  /** [DONE] or message_stop without a finish means that the answer broke off, as everywhere; and so does an empty chunk at the end. */
  readonly emptyChunkIsError: boolean;
  /** The key goes as a Bearer also where the API has another header. */
  readonly bearerOnly: boolean;
  /** Vectors come as numbers, whatever was asked: base64 is made here. */
  readonly noBase64: boolean;
  /** It tokenises `content`, as another hearth does; absent: `prompt`, as vLLM. */
  readonly tokenizesContent?: true;
}

const NONE: WireDialect = {
  passthrough: false,
  limitField: 'max_tokens',
  ignores: new Set(),
  statuses: {},
  progress: null,
  emptyChunkIsError: false,
  bearerOnly: false,
  noBase64: false,
};

/** By the names of `remotes.<name>.dialect`. */
export const WIRE_DIALECTS = {
  standard: { ...NONE, passthrough: true, limitField: 'max_completion_tokens' },
  'mlx-lm': {
    ...NONE,
    ignores: new Set(['tool_choice', 'response_format', 'n', 'logprobs'] as const),
    statuses: { 404: 500 },
    progress: /^\s*keepalive (\d+)\/(\d+)/,
  },
  ollama: { ...NONE, ignores: new Set(['tool_choice', 'n', 'logprobs'] as const), emptyChunkIsError: true },
  'vllm-mlx': { ...NONE, bearerOnly: true, noBase64: true },
  'lm-studio': { ...NONE, progress: /^\s*prompt-progress:?\s*(\d+)\/(\d+)/, noBase64: true },
  'llama-server': { ...NONE, tokenizesContent: true },
} as const satisfies Record<string, WireDialect>;

export type DialectName = keyof typeof WIRE_DIALECTS;
