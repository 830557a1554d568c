import type Anthropic from '@anthropic-ai/sdk';
import { partialParse } from '@anthropic-ai/sdk/_vendor/partial-json-parser/parser';
import { MessageStream } from '@anthropic-ai/sdk/lib/MessageStream';
import { describe, expect, test } from 'vitest';
import { ANTHROPIC_EVENTS } from '../../src/api/sse-dialect.ts';
import { type GenerateEvent, messagesEvent, messagesReply } from '../../src/contract/index.ts';
import { readIncompleteObject } from '../../src/gateway/dialects/anthropic/incomplete-json.ts';
import { type Answer, encodeMessageStream, foldMessage, type MessageEncoding } from '../../src/gateway/index.ts';
import { parseEvents, type StreamEvent, violationOf } from '../support/anthropic-stream-check.ts';
import { createDice, randomAnswer } from '../support/random-answers.ts';

const encoding: MessageEncoding = { stops: ['STOP'], countsCache: true, showThinking: true };

const answerOf = (events: readonly GenerateEvent[]): Answer => ({
  source: { model: 'org/fake', hash: null, upstream: 'fake', version: null, device: null },
  attempts: [],
  events: (async function* () {
    yield* events;
  })(),
  timings: () => ({ loadMs: 0, queueMs: 0, prefillMs: 0, decodeMs: 0, firstTokenMs: 0 }),
  usage: () => null,
});

/** The stream as it goes over the wire. */
async function wire(events: readonly GenerateEvent[], how = encoding): Promise<string> {
  let text = '';
  for await (const frame of encodeMessageStream(answerOf(events), how)) if (frame.kind === 'data') text += ANTHROPIC_EVENTS.data(frame.data, frame.event);
  return text + ANTHROPIC_EVENTS.end;
}

/** What the official client makes of the events. */
const readBySdk = (events: readonly StreamEvent[]): Promise<Anthropic.Message> => {
  const lines = events.map(({ data }) => `${JSON.stringify(data)}\n`).join('');
  return MessageStream.fromReadableStream(new Blob([lines]).stream()).finalMessage();
};

/** Without what is drawn anew for each answer. */
const comparable = (message: object): unknown =>
  JSON.parse(JSON.stringify(message, (key, value) => (key === 'id' || key === 'parsed_output' || key === '_request_id' ? undefined : value)));

describe('streams of random answers', () => {
  test('[serving V29] 500 of them keep the order of events and the indices, and the official client makes the JSON answer of each', async () => {
    const seen = new Set<unknown>();
    for (let seed = 0; seed < 500; seed += 1) {
      const events = randomAnswer(seed);
      const parsed = parseEvents(await wire(events));
      expect(violationOf(parsed), `seed ${seed}`).toBeNull();
      for (const { data } of parsed) messagesEvent.parse(data);
      const whole = messagesReply.parse(await foldMessage(answerOf(events), encoding));
      expect(comparable(await readBySdk(parsed)), `seed ${seed}`).toEqual(comparable(whole));
      for (const block of whole.content) seen.add(block.type);
      seen.add(whole.stop_reason);
    }
    expect(seen).toEqual(new Set(['text', 'thinking', 'tool_use', 'end_turn', 'max_tokens', 'refusal', 'stop_sequence']));
  });

  test('no text and no argument is lost or comes twice, whatever runs beside each other', async () => {
    for (let seed = 0; seed < 200; seed += 1) {
      const events = randomAnswer(seed);
      const end = events.findIndex(({ kind }) => kind === 'finish');
      const own = events.slice(0, end);
      const texts = own.map((event) => (event.kind === 'text-delta' ? event.text : '')).join('');
      const thoughts = own.map((event) => (event.kind === 'reasoning-delta' ? event.text : '')).join('');
      const json = own.map((event) => (event.kind === 'tool-delta' ? event.argumentsJson : '')).join('');
      const deltas = parseEvents(await wire(events)).map(({ data }) => (data['delta'] ?? {}) as Record<string, unknown>);
      const told = (field: string): string => deltas.map((delta) => delta[field] ?? '').join('');
      expect([told('text'), told('thinking')]).toEqual([texts, thoughts]);
      expect([...told('partial_json')].sort().join('')).toBe([...json].sort().join(''));
    }
  });

  test('the checker finds each fault', async () => {
    const events: GenerateEvent[] = [
      { kind: 'start', promptTokens: 3, cachedTokens: 0 },
      { kind: 'reasoning-delta', choice: 0, text: 'hm' },
      { kind: 'text-delta', choice: 0, text: 'a' },
      { kind: 'tool-start', choice: 0, toolIndex: 0, id: 'call_1', name: 'look' },
      { kind: 'tool-delta', choice: 0, toolIndex: 0, argumentsJson: '{}' },
      { kind: 'tool-end', choice: 0, toolIndex: 0 },
      { kind: 'finish', choice: 0, reason: 'tool_calls' },
      { kind: 'usage', promptTokens: 3, cachedTokens: 0, completionTokens: 4, reasoningTokens: 1 },
      { kind: 'end' },
    ];
    const good = parseEvents(await wire(events));
    expect(violationOf(good)).toBeNull();
    // Any event that is missing, doubled, nameless or in the place of its neighbour breaks a rule; a lost delta alone does not.
    for (const [i, { event }] of good.entries()) {
      const missing = good.toSpliced(i, 1);
      if (event !== 'content_block_delta') expect(violationOf(missing), `without ${i}`).not.toBeNull();
      if (event !== 'content_block_delta') expect(violationOf(good.toSpliced(i, 0, good[i]!)), `twice ${i}`).not.toBeNull();
      expect(violationOf(good.with(i, { ...good[i]!, event: null })), `nameless ${i}`).not.toBeNull();
      if (i > 0) expect(violationOf(good.with(i, good[i - 1]!).with(i - 1, good[i]!)), `swapped ${i}`).not.toBeNull();
    }
    expect(violationOf(good, 'error')).not.toBeNull();
  });

  test('a signature of a remote is kept, our own is a hash of the thinking, and hidden thinking leaves the signature alone', async () => {
    const thinking = (signature?: string): GenerateEvent[] => [
      { kind: 'reasoning-delta', choice: 0, text: 'hm' },
      ...(signature === undefined ? [] : [{ kind: 'reasoning-delta' as const, choice: 0, text: '', signature }]),
      { kind: 'text-delta', choice: 0, text: 'a' },
      { kind: 'finish', choice: 0, reason: 'stop' },
      { kind: 'usage', promptTokens: 3, cachedTokens: 0, completionTokens: 4, reasoningTokens: 1 },
      { kind: 'end' },
    ];
    const first = async (events: GenerateEvent[], how = encoding) => (await foldMessage(answerOf(events), how)).content[0] as Anthropic.ThinkingBlock;
    expect(await first(thinking('c2ln'))).toEqual({ type: 'thinking', thinking: 'hm', signature: 'c2ln' });
    const own = await first(thinking());
    expect(own.signature).toMatch(/^[A-Za-z0-9+/]{43}=$/);
    expect(await first(thinking())).toEqual(own);
    expect(await first(thinking(), { ...encoding, showThinking: false })).toEqual({ ...own, thinking: '' });
    expect(violationOf(parseEvents(await wire(thinking(), { ...encoding, showThinking: false })))).toBeNull();
  });
});

describe('arguments that a limit cut', () => {
  test('become the object that clients of streams make of them', () => {
    const dice = createDice(7);
    const value = (depth: number): unknown => {
      const kind = dice(depth > 2 ? 5 : 7);
      if (kind === 5) return Array.from({ length: dice(4) }, () => value(depth + 1));
      if (kind === 6) return Object.fromEntries(Array.from({ length: dice(4) }, (_, i) => [`k${i}"\\`, value(depth + 1)]));
      return ['text, with: {marks}', 'a"b\\', true, null, 12.5][kind];
    };
    for (let round = 0; round < 100; round += 1) {
      const json = JSON.stringify({ first: value(0), second: value(0) });
      for (let end = 0; end <= json.length; end += 1) {
        const cut = json.slice(0, end);
        let expected: unknown;
        try {
          expected = partialParse(cut);
        } catch {
          expected = null;
        }
        const own = readIncompleteObject(cut);
        if (expected !== null && typeof expected === 'object') expect(own, cut).toEqual(expected);
        else expect(own).toBeTypeOf('object');
      }
    }
  });
});
