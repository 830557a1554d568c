import { expect, test } from 'vitest';
import { startHttp } from '../support/http-fixture.ts';

/** The engine's own pause between two tokens: what comes before the next token took no longer than the row allows. */
const TOKEN_MS = 100;
const ASKED = 10;

test('[store K107] /health answers during generation, before the token that comes 100 ms later', async () => {
  await using server = await startHttp({ tokenMs: TOKEN_MS });
  const stream = await server.openai.chat.completions.create({ model: 'org/fake', stream: true, messages: [{ role: 'user', content: 'word '.repeat(20) }] });
  const events: string[] = [];
  const asked: Promise<void>[] = [];
  for await (const chunk of stream) {
    if (!chunk.choices[0]?.delta.content) continue;
    const token = asked.length;
    events.push(`token ${token}`);
    if (token === ASKED) continue;
    asked.push(
      fetch(`${server.baseUrl}/health`).then(async (response) => {
        await response.text();
        events.push(`${response.status} after ${token}`);
      }),
    );
  }
  events.push('end');
  await Promise.all(asked);
  const answers = Array.from({ length: ASKED }, (_, token) => events.indexOf(`200 after ${token}`));
  expect(answers.filter((at) => at < 0 || at > events.indexOf('end'))).toEqual([]);
  // Most, not all: a machine with other work on it holds back some.
  const inTime = answers.filter((at, token) => at < events.indexOf(`token ${token + 1}`));
  expect(inTime.length).toBeGreaterThan(ASKED / 2);
});
