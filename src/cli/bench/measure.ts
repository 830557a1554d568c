import type { Client } from '../../client/index.ts';
import { endpoints } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';

/** One answer as a client sees it; times in milliseconds from the request. */
export interface MeasuredAnswer {
  readonly promptTokens: number;
  /** Taken from an earlier prompt, and not computed again. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly firstTokenMs: number | null;
  readonly totalMs: number;
  readonly text: string;
  readonly finishReason: string | null;
}

/** Prompt tokens per second up to the first token. */
export const promptRate = ({ promptTokens, cachedTokens, firstTokenMs }: MeasuredAnswer): number | null =>
  firstTokenMs === null || firstTokenMs <= 0 ? null : ((promptTokens - cachedTokens) * 1000) / firstTokenMs;

/** Tokens per second after the first one. */
export function decodeRate({ completionTokens, firstTokenMs, totalMs }: MeasuredAnswer): number | null {
  const ms = totalMs - (firstTokenMs ?? totalMs);
  return completionTokens < 2 || ms <= 0 ? null : ((completionTokens - 1) * 1000) / ms;
}

/** Continues token ids at temperature 0, streamed with counts. */
export async function measureAnswer(
  client: Client,
  order: { readonly model: string; readonly prompt: readonly number[]; readonly maxTokens: number; readonly signal: AbortSignal },
): Promise<MeasuredAnswer> {
  const { model, prompt, maxTokens, signal } = order;
  const startedAt = performance.now();
  const body = {
    model,
    prompt: [...prompt],
    max_tokens: maxTokens,
    temperature: 0,
    repetition_penalty: 1,
    stream: true,
    stream_options: { include_usage: true },
  };
  let text = '';
  let firstTokenMs: number | null = null;
  let finishReason: string | null = null;
  let counts: { prompt: number; cached: number; completion: number } | null = null;
  for await (const chunk of client.stream(endpoints.completions, { body }, { signal })) {
    for (const choice of chunk.choices) {
      if (choice.text !== '') firstTokenMs ??= performance.now() - startedAt;
      text += choice.text;
      finishReason = choice.finish_reason ?? finishReason;
    }
    const { usage } = chunk;
    if (usage) counts = { prompt: usage.prompt_tokens, cached: usage.prompt_tokens_details?.cached_tokens ?? 0, completion: usage.completion_tokens };
  }
  if (counts === null) throw new HearthError('execution_error', `${model} answered without its counts, so that nothing can be measured.`);
  return {
    promptTokens: counts.prompt,
    cachedTokens: counts.cached,
    completionTokens: counts.completion,
    firstTokenMs,
    totalMs: performance.now() - startedAt,
    text,
    finishReason,
  };
}

const SENTENCES = [
  'The harbour lay quiet under a thin layer of fog while the first boats came back with their catch.',
  'She counted the crates twice, wrote the number down, and asked the foreman what had become of the rest.',
  'Nobody knew why the clock in the tower had stopped at nine, but everybody had a theory about it.',
  'In the afternoon the wind turned, and the smell of bread from the bakery reached as far as the bridge.',
];

/** Token ids of English prose; another `salt` gives another beginning, so that no cache helps. */
export async function makePrompt(client: Client, model: string, tokens: number, salt: string, signal: AbortSignal): Promise<number[]> {
  const wanted = Math.max(1, tokens);
  let text = `Story ${salt}. `;
  for (let i = 0; text.length < wanted * 8; i += 1) text += `${SENTENCES[(i + salt.length) % SENTENCES.length]} `;
  const reply = await client.call(endpoints.tokenize, { body: { model, prompt: text } }, { signal });
  return (reply.tokens as number[]).slice(0, wanted);
}
