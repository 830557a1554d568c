import type { AnswerPart, ChatChunk, ChatReply, ChoiceLogprobs, HearthExtension, TokenLogprob, Usage } from '../../../contract/index.ts';
import type { Answer } from '../../answer.ts';
import { answerSteps } from '../answer-steps.ts';
import type { Frame } from '../frame.ts';
import { type AnswerHead, answerHead, extensionOf, wireUsage } from './answer.ts';

export interface ChatEncoding {
  readonly choices: number;
  readonly includeUsage: boolean;
}

type Choice = ChatChunk['choices'][number];

/** Chunks of a chat stream by docs/spec/serving.md §2.1; throws HearthError where the stream has to end with an error. */
export async function* encodeChatStream(answer: Answer, encoding: ChatEncoding): AsyncGenerator<Frame<ChatChunk>, void> {
  const head = answerHead('chatcmpl', answer);
  const spoken = new Set<number>();
  const chunk = (choice: Choice, extension?: HearthExtension): Frame<ChatChunk> => ({ kind: 'data', data: makeChunk(head, encoding, [choice], extension) });
  for await (const step of answerSteps(answer, encoding.choices)) {
    if (step.kind === 'progress') yield { kind: 'comment', text: `prefill ${step.doneTokens}/${step.totalTokens}` };
    if (step.kind === 'progress' || step.kind === 'start') continue;
    const index = step.kind === 'finish' ? step.finish.choice : step.choice;
    if (!spoken.has(index)) {
      // Held back until now: only content commits the answer.
      spoken.add(index);
      yield chunk({ index, delta: { role: 'assistant', content: null }, finish_reason: null, logprobs: null });
    }
    if (step.kind === 'finish') {
      const { finish, usage } = step;
      yield chunk({ index, delta: {}, finish_reason: finish.reason, logprobs: null }, usage ? extensionOf(answer, usage, finish) : undefined);
      if (usage && encoding.includeUsage) yield { kind: 'data', data: { ...makeChunk(head, encoding, []), usage: wireUsage(usage) } };
    } else if (step.part.kind !== 'tool-end') yield chunk({ index, delta: deltaOf(step.part), finish_reason: null, logprobs: logprobsOf(step.part) });
  }
}

/** A repeated id, name or type of a call would be joined to itself by clients: only the first delta of a call has them. */
function deltaOf(part: Exclude<AnswerPart, { kind: 'tool-end' }>): Choice['delta'] {
  switch (part.kind) {
    case 'text-delta':
      return { content: part.text };
    case 'reasoning-delta':
      return { reasoning_content: part.text };
    case 'tool-start':
      return { tool_calls: [{ index: part.toolIndex, id: part.id, type: 'function', function: { name: part.name, arguments: '' } }] };
    case 'tool-delta':
      return { tool_calls: [{ index: part.toolIndex, function: { arguments: part.argumentsJson } }] };
  }
}

const logprobsOf = (part: AnswerPart): ChoiceLogprobs =>
  part.kind === 'text-delta' && part.logprobs !== undefined ? { content: part.logprobs.map(wireLogprob) } : null;

type WireLogprob = NonNullable<ChoiceLogprobs>['content'][number];
const wireLogprob = ({ token, logprob, bytes, top }: TokenLogprob): WireLogprob => ({
  token,
  logprob,
  bytes: [...bytes],
  top_logprobs: top.map((other) => ({ token: other.token, logprob: other.logprob, bytes: [...other.bytes] })),
});

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

type Message = ChatReply['choices'][number]['message'];

/** What one choice of a JSON answer is gathered in. */
interface Folded {
  text: string;
  reasoning: string;
  readonly calls: NonNullable<Message['tool_calls']>;
  logprobs: WireLogprob[] | null;
  finish: ChatReply['choices'][number]['finish_reason'];
}

/** The JSON answer: a fold of the same steps, so that both forms agree. */
export async function foldChat(answer: Answer, choices: number): Promise<ChatReply> {
  const head = answerHead('chatcmpl', answer);
  const folded = Array.from({ length: choices }, (): Folded => ({ text: '', reasoning: '', calls: [], logprobs: null, finish: 'stop' }));
  let usage: Usage | null = null;
  let extension: HearthExtension | undefined;
  for await (const step of answerSteps(answer, choices)) {
    if (step.kind === 'part') addPart(folded[step.choice]!, step.part);
    if (step.kind !== 'finish') continue;
    folded[step.finish.choice]!.finish = step.finish.reason;
    if (!step.usage) continue;
    usage = wireUsage(step.usage);
    extension = extensionOf(answer, step.usage, step.finish);
  }
  return {
    id: head.id,
    object: 'chat.completion',
    created: head.created,
    model: head.model,
    system_fingerprint: head.system_fingerprint,
    choices: folded.map(({ text, reasoning, calls, logprobs, finish }, index) => ({
      index,
      message: {
        role: 'assistant',
        content: text === '' && calls.length > 0 ? null : text,
        refusal: null,
        ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
        ...(calls.length === 0 ? {} : { tool_calls: calls }),
      },
      finish_reason: finish,
      logprobs: logprobs === null ? null : { content: logprobs },
    })),
    usage: usage!,
    ...(extension ? { hearth: extension } : {}),
  };
}

function addPart(folded: Folded, part: AnswerPart): void {
  if (part.kind === 'text-delta') {
    folded.text += part.text;
    if (part.logprobs !== undefined) folded.logprobs = [...(folded.logprobs ?? []), ...part.logprobs.map(wireLogprob)];
  } else if (part.kind === 'reasoning-delta') folded.reasoning += part.text;
  else if (part.kind === 'tool-start') folded.calls.push({ id: part.id, type: 'function', function: { name: part.name, arguments: '' } });
  else if (part.kind === 'tool-delta') folded.calls[part.toolIndex]!.function.arguments += part.argumentsJson;
}
