import { expect, test } from 'vitest';
import { startHttp } from '../support/http-fixture.ts';
import { chat, goodChat, type MockAnswer, silent, startMockUpstream, stream } from '../support/mock-upstream.ts';
import { makeUpstream } from '../support/upstream-run.ts';

const TIMEOUTS = { firstTokenMs: 1_000, idleMs: 1_000 };

/** A stream of one upstream, with or without a second one behind it. */
async function ask(
  first: MockAnswer,
  dialect: 'standard' | 'llama-server',
  spare: boolean,
): Promise<{ status: number; text: string; attempts: string | null; spared: number }> {
  await using one = await startMockUpstream();
  await using two = await startMockUpstream();
  one.script(first);
  two.script(stream(goodChat('from the second')));
  using a = makeUpstream(one.url, { name: 'a', timeouts: TIMEOUTS, dialect });
  using b = makeUpstream(two.url, { name: 'b', timeouts: TIMEOUTS, dialect });
  const levels = spare ? [['a/m'], ['b/m']] : [['a/m']];
  const routing = {
    upstreams: [a, b],
    routes: { both: { levels, balance: 'weighted' as const, fallback: true } },
    maxAttempts: spare ? 3 : 1,
    probeIntervalMs: null,
  };
  await using http = await startHttp({}, { gateway: { routing } });
  const body = JSON.stringify({ model: 'both', stream: true, messages: [{ role: 'user', content: 'x' }] });
  const response = await fetch(`${http.baseUrl}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  return { status: response.status, text: await response.text(), attempts: response.headers.get('x-hearth-attempts'), spared: two.requests.length };
}

for (const dialect of ['standard', 'llama-server'] as const) {
  test(`[serving V68] over the limit of the first token the next target answers, or the client gets 504 (${dialect})`, async () => {
    for (const slow of [silent, stream([chat.head(), 50, ': here\n\n', 50, ': here\n\n', 'STALL'])]) {
      const saved = await ask(slow, dialect, true);
      expect([saved.status, saved.attempts, saved.spared]).toEqual([200, 'a=upstream_timeout,b=ok', 1]);
      expect(saved.text).toContain('from the second');
      const alone = await ask(slow, dialect, false);
      expect([alone.status, JSON.parse(alone.text).error.code]).toEqual([504, 'upstream_timeout']);
    }
  });

  test(`[serving V68] over the idle limit between two tokens the answer ends in one error, and nobody else is asked (${dialect})`, async () => {
    const stalled = await ask(stream([chat.head(), chat.text('one'), ': here\n\n', 100, ': here\n\n', 'STALL']), dialect, true);
    expect([stalled.status, stalled.spared]).toEqual([200, 0]);
    expect(stalled.text).toContain('"one"');
    expect(stalled.text.match(/"code":"upstream_timeout"/g)).toHaveLength(1);
    expect(stalled.text).not.toContain('[DONE]');
    expect(stalled.text).not.toContain('from the second');
  });
}
