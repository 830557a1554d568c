import type { ChatChunk, ChatReply, HearthExtension, Usage } from '../../../contract/index.ts';
import type { Generation } from '../../generation.ts';
import { type AnswerHead, answerHead, answerSteps } from './answer.ts';

/** One thing for the SSE writer: an event, or a comment to send with the next heartbeat. */
export type Frame<T> = { readonly kind: 'data'; readonly data: T } | { readonly kind: 'comment'; readonly text: string };

export interface ChatEncoding {
  readonly choices: number;
  readonly includeUsage: boolean;
}

type Choice = ChatChunk['choices'][number];

/** Chunks of a chat stream by docs/spec/serving.md §2.1; throws HearthError where the stream has to end with an error. */
export async function* encodeChatStream(generation: Generation, encoding: ChatEncoding): AsyncGenerator<Frame<ChatChunk>, void> {
  const head = answerHead('chatcmpl', generation);
  const spoken = new Set<number>();
  const chunk = (choice: Choice, extension?: HearthExtension): Frame<ChatChunk> => ({ kind: 'data', data: makeChunk(head, encoding, [choice], extension) });
  for await (const step of answerSteps(generation, encoding.choices)) {
    if (step.kind === 'progress') {
      yield { kind: 'comment', text: `prefill ${step.doneTokens}/${step.totalTokens}` };
      continue;
    }
    if (step.kind === 'usage') {
      if (encoding.includeUsage) yield { kind: 'data', data: { ...makeChunk(head, encoding, []), usage: step.usage } };
      continue;
    }
    if (!spoken.has(step.choice)) {
      // Held back until now: only content commits the answer.
      spoken.add(step.choice);
      yield chunk({ index: step.choice, delta: { role: 'assistant', content: null }, finish_reason: null, logprobs: null });
    }
    if (step.kind === 'finish') yield chunk({ index: step.choice, delta: {}, finish_reason: step.reason, logprobs: null }, step.extension);
    else
      yield chunk({
        index: step.choice,
        delta: step.kind === 'text' ? { content: step.text } : { reasoning_content: step.text },
        finish_reason: null,
        logprobs: null,
      });
  }
}

const makeChunk = (head: AnswerHead, encoding: ChatEncoding, choices: Choice[], extension?: HearthExtension): ChatChunk => ({
  id: head.id,
  object: 'chat.completion.chunk',
  created: head.created,
  model: head.model,
  system_fingerprint: head.system_fingerprint,
  choices,
  ...(encoding.includeUsage ? { usage: null } : {}),
  ...(extension ? { hearth: extension } : {}),
});

/** The JSON answer: a fold of the same steps, so that both forms agree. */
export async function foldChat(generation: Generation, choices: number): Promise<ChatReply> {
  const head = answerHead('chatcmpl', generation);
  const parts = Array.from({ length: choices }, () => ({ text: '', reasoning: '', finish: 'stop' as ChatReply['choices'][number]['finish_reason'] }));
  let usage: Usage | null = null;
  let extension: HearthExtension | undefined;
  for await (const step of answerSteps(generation, choices)) {
    if (step.kind === 'text') parts[step.choice]!.text += step.text;
    else if (step.kind === 'reasoning') parts[step.choice]!.reasoning += step.text;
    else if (step.kind === 'usage') usage = step.usage;
    else if (step.kind === 'finish') {
      parts[step.choice]!.finish = step.reason;
      extension = step.extension ?? extension;
    }
  }
  return {
    id: head.id,
    object: 'chat.completion',
    created: head.created,
    model: head.model,
    system_fingerprint: head.system_fingerprint,
    choices: parts.map(({ text, reasoning, finish }, index) => ({
      index,
      message: { role: 'assistant', content: text, refusal: null, ...(reasoning === '' ? {} : { reasoning_content: reasoning }) },
      finish_reason: finish,
      logprobs: null,
    })),
    usage: usage!,
    ...(extension ? { hearth: extension } : {}),
  };
}
