import type { ChatChunk, ChatReply } from '../../contract/index.ts';

/** A complete answer as the events of a stream: role, content, finish, and the counts where they are wanted. */
export function encodeWholeChat(reply: ChatReply, includeUsage: boolean): string {
  const { id, created, model, system_fingerprint, usage, hearth } = reply;
  const choice = reply.choices[0]!;
  const head = { id, object: 'chat.completion.chunk' as const, created, model, ...(system_fingerprint === undefined ? {} : { system_fingerprint }) };
  const counts = includeUsage ? { usage: null } : {};
  const step = (delta: ChatChunk['choices'][number]['delta'], finish: ChatChunk['choices'][number]['finish_reason']): ChatChunk => ({
    ...head,
    choices: [{ index: 0, delta, finish_reason: finish, logprobs: null }],
    ...counts,
  });
  const chunks: ChatChunk[] = [
    step({ role: 'assistant', content: null }, null),
    step({ content: choice.message.content ?? '' }, null),
    { ...step({}, choice.finish_reason), ...(hearth === undefined ? {} : { hearth }) },
    ...(includeUsage ? [{ ...head, choices: [], usage }] : []),
  ];
  return [...chunks.map((chunk) => JSON.stringify(chunk)), '[DONE]'].map((data) => `data: ${data}\n\n`).join('');
}
