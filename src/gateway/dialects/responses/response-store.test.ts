import { describe, expect, test } from 'vitest';
import type { ResponseReply } from '../../../contract/index.ts';
import { systemClock } from '../../../core/index.ts';
import { conversationAfter, createResponseStore } from './response-store.ts';

const reply = (id: string, text = 'x'): ResponseReply =>
  ({
    id,
    output: [
      { type: 'message', id: `msg_${id}`, status: 'completed', role: 'assistant', content: [{ type: 'output_text', text, annotations: [], logprobs: [] }] },
    ],
  }) as unknown as ResponseReply;
const stored = (id: string, text?: string) => ({ reply: reply(id, text), conversation: [] });

describe('answers that are kept', () => {
  test('the oldest goes when there are 257 of a key, and other keys keep theirs', () => {
    const store = createResponseStore();
    store.put('other', stored('resp_other'));
    for (let i = 0; i < 257; i++) store.put('key', stored(`resp_${i}`));
    expect([store.get('key', 'resp_0'), store.get('key', 'resp_1')?.reply.id, store.get('other', 'resp_other')?.reply.id]).toEqual([
      null,
      'resp_1',
      'resp_other',
    ]);
    expect([store.get('other', 'resp_1'), store.item('other', 'msg_resp_1'), store.delete('other', 'resp_1')]).toEqual([null, null, false]);
    expect(store.item('key', 'msg_resp_256')).toMatchObject({ id: 'msg_resp_256' });
  });

  test('64 MiB of a key are the most, and one that is larger than that is not kept', () => {
    const store = createResponseStore();
    const tenMiB = 'x'.repeat(5 * 1024 * 1024);
    for (let i = 0; i < 7; i++) store.put('key', stored(`resp_${i}`, tenMiB));
    expect([store.get('key', 'resp_0'), store.get('key', 'resp_1')?.reply.id]).toEqual([null, 'resp_1']);
    store.put('key', stored('resp_large', 'x'.repeat(40 * 1024 * 1024)));
    expect([store.get('key', 'resp_large'), store.get('key', 'resp_6')?.reply.id]).toEqual([null, 'resp_6']);
    const media = { role: 'user' as const, content: [{ kind: 'image' as const, source: { kind: 'bytes' as const, bytes: new Uint8Array(60 * 1024 * 1024) } }] };
    store.put('key', { reply: reply('resp_seen'), conversation: [media] });
    expect([store.get('key', 'resp_6'), store.get('key', 'resp_seen')?.reply.id]).toEqual([null, 'resp_seen']);
  });

  test('an hour is the longest', () => {
    let now = 0;
    const store = createResponseStore({ clock: { ...systemClock, monotonic: () => now } });
    store.put('key', stored('resp_1'));
    now = 3_599_999;
    expect(store.get('key', 'resp_1')?.reply.id).toBe('resp_1');
    now = 3_600_000;
    expect([store.get('key', 'resp_1'), store.item('key', 'msg_resp_1')]).toEqual([null, null]);
  });

  test('what was said goes on with the answer', () => {
    const hi = { role: 'user' as const, content: [{ kind: 'text' as const, text: 'hi' }] };
    expect(conversationAfter({ reply: reply('resp_1', 'hello'), conversation: [hi] })).toEqual([
      hi,
      { role: 'assistant', content: [{ kind: 'text', text: 'hello' }] },
    ]);
  });
});
