import { expect, test } from 'vitest';
import { BROWSER, openSite } from '../support/browser.ts';
import { startHttp } from '../support/http-fixture.ts';

const skipped = BROWSER === null ? ' (skipped: there is no chromium on this machine)' : '';

/** What a chat in a browser does: its models, a stream that is shown as it comes, an error that is told, and a stop button. */
const chatPage = (target: string): string => `
const headers = { 'content-type': 'application/json', authorization: 'Bearer any', 'x-stainless-lang': 'js' };
const ask = (more, signal) => fetch('${target}/v1/chat/completions', { method: 'POST', headers, signal, body: JSON.stringify({ model: 'org/fake', messages: [{ role: 'user', content: 'hello' }], stream: true, ...more }) });
await attempt('models', async () => (await (await fetch('${target}/v1/models', { headers })).json()).data.map(({ id }) => id).join());
await attempt('stream', async () => {
  const answer = await ask({ max_tokens: 40, stream_options: { include_usage: true } });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let [text, rest, tokens, pieces, end] = ['', '', 0, 0, ''];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    rest += value;
    const events = rest.split('\\n\\n');
    rest = events.pop();
    for (const event of events) {
      if (!event.startsWith('data: ')) continue;
      if (event === 'data: [DONE]') { end = 'done'; continue; }
      const chunk = JSON.parse(event.slice(6));
      const piece = chunk.choices[0]?.delta.content;
      if (piece) { text += piece; pieces += 1; }
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
  }
  return [answer.status, answer.headers.get('x-request-id')?.slice(0, 4), text.length > 10, pieces > 5, tokens, end].join(' ');
});
await attempt('error', async () => { const answer = await ask({ model: 'nobody' }); return answer.status + ' ' + (await answer.json()).error.code; });
await attempt('stop', async () => {
  const stop = new AbortController();
  const answer = await ask({ max_tokens: 100000 }, stop.signal);
  const reader = answer.body.getReader();
  await reader.read();
  stop.abort();
  try {
    for (;;) if ((await reader.read()).done) return 'came to its end';
  } catch (error) {
    return error.name;
  }
});`;

test.skipIf(BROWSER === null)(
  `a chat in a page of a listed origin lists models, shows a stream as it comes, tells errors, and stops${skipped}`,
  async () => {
    const origins: string[] = [];
    await using server = await startHttp({ tokenMs: 2, reply: 'word '.repeat(5_000) }, { listen: { access: { origins } } });
    await using site = await openSite(() => chatPage(server.baseUrl));
    // The load is no part of what a page waits for.
    await fetch(`${server.baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"model":"org/fake","messages":[{"role":"user","content":"x"}],"max_tokens":1}',
    });
    origins.push(`http://chat.test:${site.port}`);
    const findings = await site.visit({ url: `http://chat.test:${site.port}/`, names: { 'chat.test': '127.0.0.1' } });
    expect(findings).toEqual({ models: 'org/fake', stream: '200 req_ true true 40 done', error: '404 model_not_found', stop: 'AbortError' });
    await expect.poll(() => server.gateway.snapshot().models.map(({ inFlight }) => inFlight)).toEqual([0]);
  },
  120_000,
);
