import type { Client } from '../../client/index.ts';
import { endpoints, type HearthExtension, type RunData, type Usage } from '../../contract/index.ts';
import type { MediaFile } from './read-media.ts';

export interface Turn {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
  /** In front of the text. */
  readonly media?: readonly MediaFile[];
}

/** Fields of the request that stay the same over a conversation. */
export interface GenerationSettings {
  /** Id that the server gave to the loaded model. */
  readonly model: string;
  readonly maxTokens: number | undefined;
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number | undefined;
  readonly minP: number | undefined;
  readonly seed: number | undefined;
  readonly repetitionPenalty: number;
  readonly adapter: string | undefined;
  readonly adapterScale: number | undefined;
  readonly stop: readonly string[];
  readonly templateArguments: Readonly<Record<string, unknown>> | undefined;
  /** false: the text goes to the model as it is. */
  readonly chatTemplate: boolean;
  /** JSON Schema that the answer has to fit. */
  readonly jsonSchema?: unknown;
  /** Images in one batch. */
  readonly chunk?: number | undefined;
}

export interface AnswerPart {
  readonly kind: 'text' | 'reasoning';
  readonly text: string;
}

export interface Answer {
  readonly text: string;
  readonly reasoning: string;
  readonly finishReason: string | null;
  readonly usage: Usage | null;
  readonly hearth: HearthExtension | null;
  readonly firstTokenMs: number | null;
  readonly totalMs: number;
  /** Of a recording that was written down. */
  readonly transcription?: RunData['transcription'];
}

/** Asks for one answer and hands on its parts as they come; a batch is the same stream, collected. */
export async function answer(
  client: Client,
  settings: GenerationSettings,
  turns: readonly Turn[],
  onPart: (part: AnswerPart) => void,
  signal: AbortSignal,
): Promise<Answer> {
  const startedAt = performance.now();
  let text = '';
  let reasoning = '';
  let finishReason: string | null = null;
  let usage: Usage | null = null;
  let hearth: HearthExtension | null = null;
  let firstTokenMs: number | null = null;
  const part = (kind: AnswerPart['kind'], piece: string | null | undefined) => {
    if (piece === null || piece === undefined || piece === '') return;
    // Parts come many at once: what is behind an interruption is not shown, though it is here.
    signal.throwIfAborted();
    firstTokenMs ??= performance.now() - startedAt;
    if (kind === 'text') text += piece;
    else reasoning += piece;
    onPart({ kind, text: piece });
  };
  const common = {
    model: settings.model,
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: settings.maxTokens,
    temperature: settings.temperature,
    top_p: settings.topP,
    top_k: settings.topK,
    min_p: settings.minP,
    seed: settings.seed,
    repetition_penalty: settings.repetitionPenalty,
    adapter: settings.adapter,
    adapter_scale: settings.adapterScale,
    stop: settings.stop.length === 0 ? undefined : [...settings.stop],
  };
  if (settings.chatTemplate) {
    const body = {
      ...common,
      messages: turns.map(wireMessage),
      chat_template_kwargs: settings.templateArguments,
      response_format: settings.jsonSchema === undefined ? undefined : { type: 'json_schema', json_schema: { name: 'answer', schema: settings.jsonSchema } },
      chunk: settings.chunk,
    };
    for await (const chunk of client.stream(endpoints.chatCompletions, { body }, { signal })) {
      for (const choice of chunk.choices) {
        part('reasoning', choice.delta.reasoning_content);
        part('text', choice.delta.content);
        finishReason = choice.finish_reason ?? finishReason;
      }
      usage = chunk.usage ?? usage;
      hearth = chunk.hearth ?? hearth;
    }
  } else {
    const body = { ...common, prompt: plainConversation(turns) };
    for await (const chunk of client.stream(endpoints.completions, { body }, { signal })) {
      for (const choice of chunk.choices) {
        part('text', choice.text);
        finishReason = choice.finish_reason ?? finishReason;
      }
      usage = chunk.usage ?? usage;
      hearth = chunk.hearth ?? hearth;
    }
  }
  return { text, reasoning, finishReason, usage, hearth, firstTokenMs, totalMs: performance.now() - startedAt };
}

function wireMessage({ role, content, media = [] }: Turn) {
  if (media.length === 0) return { role, content };
  const parts = media.map(({ name, mediaType, bytes }) => {
    const data = bytes.toString('base64');
    if (mediaType.startsWith('image/')) return { type: 'image_url', image_url: { url: `data:${mediaType};base64,${data}` }, name };
    return { type: 'input_audio', input_audio: { data, format: mediaType.slice(mediaType.indexOf('/') + 1) } };
  });
  return { role, content: content === '' ? parts : [...parts, { type: 'text', text: content }] };
}

/** A single prompt as it is; a conversation as blocks that plain models continue (docs/spec/store.md §10). */
function plainConversation(turns: readonly Turn[]): string {
  if (turns.length === 1) return turns[0]!.content;
  const names = { system: 'System', user: 'Human', assistant: 'Assistant' } as const;
  return `${turns.map((turn) => `${names[turn.role]}: ${turn.content}`).join('\n\n')}\n\nAssistant: `;
}
