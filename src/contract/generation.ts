/** The canonical generation request and events that every dialect decodes to and every engine speaks (docs/spec/serving.md §3.1). */

export interface SamplingOptions {
  /** 0 = argmax, lowest id on a tie. */
  readonly temperature: number;
  /** 0 = off. */
  readonly topK: number;
  /** (0, 1]; 1 = off. */
  readonly topP: number;
  /** [0, 1]; 0 = off. */
  readonly minP: number;
  /** > 0; 1 = off. */
  readonly repetitionPenalty: number;
  /** Tokens looked back for `repetitionPenalty`. */
  readonly repetitionContextSize: number;
  /** −2 … 2. */
  readonly presencePenalty: number;
  /** −2 … 2. */
  readonly frequencyPenalty: number;
  readonly xtcProbability: number;
  readonly xtcThreshold: number;
  /** Token id → −100 … 100. */
  readonly logitBias: Readonly<Record<number, number>>;
  /** Own random stream per (seed, choice); absent: drawn. */
  readonly seed?: number;
}

/** The likeliest token each time, and nothing else in force. */
export const GREEDY_SAMPLING: SamplingOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  repetitionContextSize: 20,
  presencePenalty: 0,
  frequencyPenalty: 0,
  xtcProbability: 0,
  xtcThreshold: 0.1,
  logitBias: {},
};

export interface TextPart {
  readonly kind: 'text';
  readonly text: string;
}

/** Media of a request: bytes that were checked, or a link that only a remote may follow. */
export interface MediaPart {
  readonly kind: 'image' | 'audio' | 'video';
  /** Such as `image/png`; of a link, what its sender said of it. */
  readonly mediaType?: string;
  readonly source: { readonly kind: 'bytes'; readonly bytes: Uint8Array } | { readonly kind: 'url'; readonly url: string };
}

export type ContentPart = TextPart | MediaPart;

/** One call of an assistant's message in the history. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  /** JSON text of an object. */
  readonly arguments: string;
}

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: readonly ContentPart[];
  readonly name?: string;
  readonly toolCallId?: string;
  readonly toolCalls?: readonly ToolCall[];
  /** Of a tool's message: the call failed. */
  readonly failed?: boolean;
  /** What an assistant's message was reasoned with. */
  readonly reasoning?: string;
  /** The mark that a remote put under its reasoning and wants to see again. */
  readonly reasoningSignature?: string;
}

export interface ToolDefinition {
  readonly name: string;
  readonly description?: string;
  /** JSON Schema of the arguments; absent: an object of any properties. */
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** false: what of the schema cannot be enforced is left to the model; else it is refused. */
  readonly strict?: boolean;
}

export interface ToolUse {
  readonly definitions: readonly ToolDefinition[];
  /** `none`: listed, never called; `required`: at least one call; a name: calls of that one only. */
  readonly choice: 'none' | 'auto' | 'required' | { readonly name: string };
  /** false: one call at most. */
  readonly parallel: boolean;
}

/** What the answer has to be, enforced while it is generated (docs/spec/serving.md §3.3). */
export type AnswerFormat =
  | { readonly kind: 'json' }
  | { readonly kind: 'json-schema'; readonly schema: unknown }
  | { readonly kind: 'grammar'; readonly text: string };

export interface ReasoningOptions {
  /** Tokens of the reasoning part, at which its closing mark is forced; 0 = none at all; absent: no limit. */
  readonly budgetTokens?: number;
}

/** What only a remote is told: it has its own defaults, and other words for some things. */
export interface RemoteWishes {
  /** Fields of `sampling` that the client gave; the others hold defaults of ours, which a remote does not get. */
  readonly asked: readonly (keyof SamplingOptions)[];
  /** Whom the client asks for. */
  readonly userId?: string;
  /** How much the client wants reasoned, in its word. */
  readonly effort?: string;
}

export interface GenerateRequest {
  readonly requestId: string;
  /** Exactly one of `messages`, `prompt` and `tokens`. `prompt` is used without a template. */
  readonly messages?: readonly ChatMessage[];
  readonly prompt?: string;
  readonly tokens?: readonly number[];
  /** Extra variables of the chat template. */
  readonly templateArguments?: Readonly<Record<string, unknown>>;
  /** Clipped to the room left; absent: the caller's rule (serving.md §1.5). */
  readonly maxTokens?: number;
  readonly stop: readonly string[];
  readonly sampling: SamplingOptions;
  /** Choices wanted; each has its own random stream. */
  readonly choices: number;
  /** Adds the role marks of plain conversations to the stop strings (store.md §10). */
  readonly stopAtRoleMarks?: boolean;
  /** Log probabilities of the answer's tokens, and this many of the likeliest ones beside each (0 … 20); absent: none. */
  readonly logprobs?: number;
  readonly tools?: ToolUse;
  readonly format?: AnswerFormat;
  readonly reasoning?: ReasoningOptions;
  /** Low-rank adapter beside the base, by the name that it was loaded under; its change is multiplied by `scale`, 0 … 2. */
  readonly adapter?: { readonly name: string; readonly scale: number };
  /** Requests with the same salt may use each other's evaluated prefixes (serving.md §4 item 5); absent: none are used or kept. */
  readonly cacheSalt?: string;
  readonly remote?: RemoteWishes;
}

/** One token of the vocabulary at one place of an answer. */
export interface TokenProbability {
  readonly id: number;
  readonly token: string;
  readonly bytes: readonly number[];
  /** Log-softmax of the raw logits. */
  readonly logprob: number;
}

/** A token of the answer: the tokens of all deltas join to the text, so a token with half a character has the text '' and its bytes. */
export interface TokenLogprob extends TokenProbability {
  /** Likeliest first. */
  readonly top: readonly TokenProbability[];
}

/** Text that was meant as a call and cannot be read as one; it is in the content as it stands. */
export interface InvalidToolCall {
  readonly name: string | null;
  readonly raw: string;
  readonly reason: string;
}

/** A part of an answer, in the order in which it was generated. */
export type AnswerPart =
  | { readonly kind: 'text-delta'; readonly text: string; readonly logprobs?: readonly TokenLogprob[] }
  /** `signature`: the mark that a remote put under the reasoning part, which ends with it. */
  | { readonly kind: 'reasoning-delta'; readonly text: string; readonly signature?: string }
  | { readonly kind: 'tool-start'; readonly toolIndex: number; readonly id: string; readonly name: string }
  | { readonly kind: 'tool-delta'; readonly toolIndex: number; readonly argumentsJson: string }
  | { readonly kind: 'tool-end'; readonly toolIndex: number };

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

export type GenerateEvent =
  | { readonly kind: 'start'; readonly promptTokens: number; readonly cachedTokens: number }
  | { readonly kind: 'prefill-progress'; readonly doneTokens: number; readonly totalTokens: number }
  | (AnswerPart & { readonly choice: number })
  | {
      readonly kind: 'finish';
      readonly choice: number;
      readonly reason: FinishReason;
      readonly stopString?: string;
      readonly invalidToolCalls?: readonly InvalidToolCall[];
    }
  | {
      readonly kind: 'usage';
      readonly promptTokens: number;
      readonly cachedTokens: number;
      readonly completionTokens: number;
      readonly reasoningTokens: number;
    }
  /** `param`: the field of the request that is at fault. */
  | { readonly kind: 'error'; readonly code: string; readonly message: string; readonly param?: string }
  | { readonly kind: 'end' };
