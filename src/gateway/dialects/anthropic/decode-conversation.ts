import type { AnthropicBlock, AnthropicMessage, ChatMessage, ContentPart, CountTokensRequest, ToolCall } from '../../../contract/index.ts';
import type { Target } from '../../answer.ts';
import { createMediaReader, type FetchedMedia } from '../../media/media-reader.ts';
import { invalid } from '../sampling.ts';
import { type BlockReader, blocksOf, decodePart, decodeParts, joinTexts, textOf } from './decode-blocks.ts';

/** What one client puts in front of its system prompt: it changes with each request and would defeat every prefix cache (docs/spec/serving.md §2.3 item 9). */
const BILLING = 'x-anthropic-billing-header';

type Body = Pick<CountTokensRequest, 'system' | 'messages'>;

/** The conversation as canonical messages: neighbours of one role are one turn, and results of tools come before the text of theirs. */
export function decodeConversation(body: Body, target: Target, fetched?: FetchedMedia): ChatMessage[] {
  const reader = { target, media: createMediaReader(target, fetched === undefined ? {} : { fetched }) };
  const names = new Map<string, string>();
  const leading = body.messages.findIndex(({ role }) => role !== 'system');
  const opening = leading < 0 ? body.messages : body.messages.slice(0, leading);
  const system = joinTexts([
    ...systemParts(body.system ?? [], 'system', reader),
    ...opening.flatMap(({ content }, i) => systemParts(content, `messages.${i}.content`, reader)),
  ]);
  if (leading < 0) throw invalid('messages', 'messages has no turn of a user.');
  const messages: ChatMessage[] = system.length === 0 ? [] : [{ role: 'system', content: system }];
  for (const { role, turns, first } of runs(body.messages, leading)) {
    if (role === 'assistant') messages.push(assistantTurn(turns, first, reader, names));
    else if (role === 'user') messages.push(...userTurns(turns, first, reader, names));
    else messages.push(laterSystem(turns, first, reader));
  }
  return mergeUsers(messages);
}

function systemParts(content: string | readonly AnthropicBlock[], at: string, reader: BlockReader): ContentPart[] {
  return blocksOf(content, at).flatMap((block, i) => {
    // All tools of the request are told from the beginning.
    if (block.type === 'tool_addition' || block.type === 'tool_removal') return [];
    if (block.type !== 'text') throw invalid(`${at}.${i}.type`, `${at} holds texts only; ${at}.${i} is of the type ${block.type}.`);
    const part = textOf(block, `${at}.${i}`);
    const dropped = part.text === '' || (reader.target.model !== undefined && part.text.startsWith(BILLING));
    return dropped ? [] : [part];
  });
}

interface Run {
  readonly role: AnthropicMessage['role'];
  readonly turns: readonly AnthropicMessage[];
  /** Index of the first in `messages`. */
  readonly first: number;
}

function runs(messages: readonly AnthropicMessage[], start: number): Run[] {
  const found: { role: AnthropicMessage['role']; turns: AnthropicMessage[]; first: number }[] = [];
  for (const [i, message] of messages.entries()) {
    if (i < start) continue;
    const last = found.at(-1);
    if (last?.role === message.role) last.turns.push(message);
    else found.push({ role: message.role, turns: [message], first: i });
  }
  return found;
}

function assistantTurn(turns: readonly AnthropicMessage[], first: number, reader: BlockReader, names: Map<string, string>): ChatMessage {
  const parts: ContentPart[] = [];
  const toolCalls: ToolCall[] = [];
  const thoughts: { readonly text: string; readonly signature: string }[] = [];
  for (const [turn, { content }] of turns.entries()) {
    const at = `messages.${first + turn}.content`;
    for (const [i, block] of blocksOf(content, at).entries()) {
      const here = `${at}.${i}`;
      if (block.type === 'thinking') {
        const { thinking, signature } = block;
        if (typeof thinking !== 'string') throw invalid(`${here}.thinking`, `${here}.thinking is needed: a block of the type thinking has its text.`);
        thoughts.push({ text: thinking, signature: typeof signature === 'string' ? signature : '' });
      } else if (block.type === 'tool_use') {
        const call = decodeCall(block, here);
        names.set(call.id, call.name);
        toolCalls.push(call);
      } else if (!OF_SERVERS.test(block.type)) parts.push(...decodePart(block, here, reader));
    }
  }
  const reasoning = thoughts
    .map(({ text }) => text)
    .filter((text) => text !== '')
    .join('\n');
  const signature = thoughts.length === 1 ? thoughts[0]!.signature : '';
  return {
    role: 'assistant',
    content: joinTexts(parts),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...(reasoning === '' ? {} : { reasoning, ...(signature === '' ? {} : { reasoningSignature: signature }) }),
  };
}

/** What only the server that wrote it can read, and what its own tools did: no part of a conversation here. */
const OF_SERVERS = /^(?:redacted_thinking|server_tool_use|container_upload|fallback|compaction|mcp_tool_use|\w+_tool_result)$/;

function decodeCall(block: AnthropicBlock, at: string): ToolCall {
  const { id, name, input } = block;
  if (typeof id !== 'string' || id === '') throw invalid(`${at}.id`, `${at}.id is needed: the result of the tool names it.`);
  if (typeof name !== 'string' || name === '') throw invalid(`${at}.name`, `${at}.name is needed: it says which tool was called.`);
  if (typeof input !== 'object' || input === null || Array.isArray(input)) throw invalid(`${at}.input`, `${at}.input has to be an object.`);
  return { id, name, arguments: JSON.stringify(input) };
}

/** Results of tools become messages of their own, in front of the text of the same turn. */
function userTurns(turns: readonly AnthropicMessage[], first: number, reader: BlockReader, names: ReadonlyMap<string, string>): ChatMessage[] {
  const results: ChatMessage[] = [];
  const parts: ContentPart[] = [];
  for (const [turn, { content }] of turns.entries()) {
    const at = `messages.${first + turn}.content`;
    const blocks = blocksOf(content, at);
    if (Array.isArray(content) && blocks.length === 0) throw invalid(at, `${at} is empty.`);
    for (const [i, block] of blocks.entries()) {
      if (block.type === 'tool_result') results.push(decodeResult(block, `${at}.${i}`, reader, names));
      else parts.push(...decodePart(block, `${at}.${i}`, reader));
    }
  }
  return results.length > 0 && parts.length === 0 ? results : [...results, { role: 'user', content: joinTexts(parts) }];
}

function decodeResult(block: AnthropicBlock, at: string, reader: BlockReader, names: ReadonlyMap<string, string>): ChatMessage {
  const id = block['tool_use_id'];
  if (typeof id !== 'string' || id === '') throw invalid(`${at}.tool_use_id`, `${at}.tool_use_id is needed: it says which call this is the result of.`);
  const name = names.get(id);
  if (name === undefined) throw invalid(`${at}.tool_use_id`, `${at}.tool_use_id is ${id.slice(0, 100)}, and no tool_use block before it has that id.`);
  return {
    role: 'tool',
    toolCallId: id,
    name,
    content: decodeParts(blocksOf(block['content'], `${at}.content`), `${at}.content`, reader),
    ...(block['is_error'] === true ? { failed: true } : {}),
  };
}

/**
 * A word of the system in the middle of the conversation keeps its place, so that what stands before it stays a known prefix. Chat templates take
 * system messages in front only: a local model gets it in the user's turn, in the marks that coding agents use for that.
 */
function laterSystem(turns: readonly AnthropicMessage[], first: number, reader: BlockReader): ChatMessage {
  const content = joinTexts(turns.flatMap(({ content: said }, i) => systemParts(said, `messages.${first + i}.content`, reader)));
  if (reader.target.model === undefined) return { role: 'system', content };
  const text = content.map((part) => (part.kind === 'text' ? part.text : '')).join('\n');
  return { role: 'user', content: [{ kind: 'text', text: `<system-reminder>\n${text}\n</system-reminder>` }] };
}

const mergeUsers = (messages: readonly ChatMessage[]): ChatMessage[] =>
  messages.reduce<ChatMessage[]>((merged, message) => {
    const last = merged.at(-1);
    if (last?.role === 'user' && message.role === 'user') merged[merged.length - 1] = { ...last, content: joinTexts([...last.content, ...message.content]) };
    else merged.push(message);
    return merged;
  }, []);
