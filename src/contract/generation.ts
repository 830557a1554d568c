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

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: readonly TextPart[];
  readonly name?: string;
  readonly toolCallId?: string;
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
  /** Requests with the same salt may use each other's evaluated prefixes (serving.md §4 item 5); absent: none are used or kept. */
  readonly cacheSalt?: string;
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter';

export type GenerateEvent =
  | { readonly kind: 'start'; readonly promptTokens: number; readonly cachedTokens: number }
  | { readonly kind: 'prefill-progress'; readonly doneTokens: number; readonly totalTokens: number }
  | { readonly kind: 'text-delta'; readonly choice: number; readonly text: string }
  | { readonly kind: 'reasoning-delta'; readonly choice: number; readonly text: string }
  | { readonly kind: 'finish'; readonly choice: number; readonly reason: FinishReason; readonly stopString?: string }
  | {
      readonly kind: 'usage';
      readonly promptTokens: number;
      readonly cachedTokens: number;
      readonly completionTokens: number;
      readonly reasoningTokens: number;
    }
  | { readonly kind: 'error'; readonly code: string; readonly message: string }
  | { readonly kind: 'end' };
