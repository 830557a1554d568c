import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Frame } from '../gateway/index.ts';
import { IN_PROCESS } from '../security/index.ts';
import { type SseOptions, sseResponse } from './sse.ts';
import { ANTHROPIC_EVENTS, OPENAI_EVENTS } from './sse-dialect.ts';

const MINUTE_MS = 60_000;

function options(more: Partial<SseOptions> = {}): SseOptions & { readonly ends: string[] } {
  const ends: string[] = [];
  return {
    requestId: 'req_1',
    caller: IN_PROCESS,
    dialect: OPENAI_EVENTS,
    heartbeatMs: 8000,
    admitted: Promise.resolve(),
    headerHoldMs: 8000,
    slowClientTimeoutMs: 30_000,
    onGone: () => {},
    cut: () => {},
    onEnd: (outcome) => void ends.push(outcome),
    comment: () => undefined,
    answerHeaders: () => ({}),
    ends,
    ...more,
  };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Everything that has no timer to wait for happens. */
const settled = async () => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe('six minutes without an event', () => {
  test.each([
    ['OpenAI', OPENAI_EVENTS],
    ['Anthropic', ANTHROPIC_EVENTS],
  ])('[serving V41] an %s stream has a byte on the wire at least every 10 s, before its first event and after it', async (_, dialect) => {
    const { promise: prefilled, resolve: onPrefilled } = Promise.withResolvers<void>();
    const { promise: done, resolve: onDone } = Promise.withResolvers<void>();
    async function* frames(): AsyncGenerator<Frame<unknown>, void> {
      await prefilled;
      yield { kind: 'data', data: { type: 'message_start', a: 1 }, event: 'message_start' };
      await done;
      yield { kind: 'data', data: { type: 'message_stop', a: 2 }, event: 'message_stop' };
    }
    let response: Response | null = null;
    const opened = sseResponse(frames(), options({ dialect, comment: () => 'prefill 10/20' })).then((made) => {
      response = made;
    });
    await vi.advanceTimersByTimeAsync(8000);
    await opened;
    const reader = response!.body!.getReader();
    let text = '';
    let lastAt = performance.now();
    let longest = 0;
    const reading = (async () => {
      for (;;) {
        const { done: end, value } = await reader.read();
        if (end) return;
        longest = Math.max(longest, performance.now() - lastAt);
        lastAt = performance.now();
        text += Buffer.from(value).toString();
      }
    })();
    const wait = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 500) {
        await vi.advanceTimersByTimeAsync(500);
        await settled();
      }
    };
    await wait(6 * MINUTE_MS);
    expect(text.match(/^: prefill 10\/20$/gm)!.length).toBeGreaterThanOrEqual(36);
    onPrefilled();
    await wait(6 * MINUTE_MS);
    onDone();
    await settled();
    await reading;
    expect(longest).toBeLessThanOrEqual(10_000);
    const beats = text.split('\n\n').filter((event) => event.startsWith(': ') || event.startsWith('event: ping'));
    expect(beats.length).toBeGreaterThanOrEqual(72);
  });
});

describe('a reader that takes little', () => {
  const event = { kind: 'data', data: 'x'.repeat(1000) } as const;

  /** An endless source; answers how many events were taken from it. */
  function endless() {
    const state = { taken: 0, returned: false };
    async function* frames(): AsyncGenerator<Frame<string>, void> {
      try {
        for (;;) {
          state.taken += 1;
          yield event;
        }
      } finally {
        state.returned = true;
      }
    }
    return { state, frames: frames() };
  }

  test('stops the source at 256 KiB, and is cut when the buffer is not below 64 KiB within the time', async () => {
    const { state, frames } = endless();
    let cuts = 0;
    const given = options({
      cut: () => {
        cuts += 1;
      },
    });
    const response = await sseResponse(frames, given);
    const reader = response.body!.getReader();
    await settled();
    const full = state.taken;
    expect(full * 1000).toBeGreaterThan(200 * 1024);
    expect(full * 1000).toBeLessThan(320 * 1024);
    // A byte a second is less than one piece of the buffer a minute; one that takes a piece each 10 s is as slow for the rule.
    for (let round = 0; round < 2; round += 1) {
      await reader.read();
      await vi.advanceTimersByTimeAsync(10_000);
      await settled();
    }
    expect([cuts, state.taken]).toEqual([0, full]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(cuts).toBe(1);
    expect(given.ends).toEqual(['slow_client']);
    await reader.cancel();
    await settled();
    expect(state.returned).toBe(true);
    expect(state.taken).toBe(full);
  });

  test('goes on once it has taken three quarters, however long that goes on', async () => {
    const { state, frames } = endless();
    const given = options();
    const reader = (await sseResponse(frames, given)).body!.getReader();
    await settled();
    let read = 0;
    let before = state.taken;
    for (let round = 0; round < 5; round += 1) {
      for (let bytes = 0; bytes < 220 * 1024; ) {
        const { value } = await reader.read();
        bytes += value!.byteLength;
        read += value!.byteLength;
      }
      await settled();
      expect(state.taken).toBeGreaterThan(before);
      before = state.taken;
      await vi.advanceTimersByTimeAsync(25_000);
    }
    expect(given.ends).toEqual([]);
    expect(state.taken * 1000 - read).toBeLessThan(400 * 1024);
    await reader.cancel();
  });
});
