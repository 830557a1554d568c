import { expect, test } from 'vitest';
import { startHttp } from '../support/http-fixture.ts';

const model = 'org/fake';
/** One second is the promise, on a machine with a free processor. Whatever is left here would go on for longer than this by itself. */
const PATIENCE_MS = 8_000;

test('[serving V42] [security G48] a client that goes away frees its place within a second: in the queue, in prefill and in decode', async () => {
  await using server = await startHttp({ prefillMs: 60_000, tokenMs: 1_000, parallel: 1 }, { api: { headerHoldMs: 20, heartbeatMs: 50 } });
  const row = () => server.gateway.snapshot().models[0];
  const running = async () => (await server.gateway.stats(await server.gateway.resolve(model, AbortSignal.timeout(5000))))?.running;
  const start = (content: string, stream: boolean) => {
    const gone = new AbortController();
    const answer = fetch(`${server.baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model, stream, messages: [{ role: 'user', content }] }),
      signal: gone.signal,
    });
    answer.catch(() => {});
    return { answer, gone };
  };
  const long = 'word '.repeat(300).trim();
  const short = 'a b c d e f g h i j';
  await (await start('warm', false).answer).text();
  for (const stream of [true, false]) {
    // In prefill: a minute of it.
    const prefill = start(long, stream);
    await expect.poll(() => row()?.inFlight).toBe(1);
    // In the queue behind it.
    const queued = start(short, stream);
    await expect.poll(() => row()?.waiting).toBe(1);
    queued.gone.abort();
    await expect.poll(() => row()?.waiting, { timeout: PATIENCE_MS, interval: 10 }).toBe(0);
    expect(row()?.inFlight).toBe(1);
    prefill.gone.abort();
    await expect.poll(() => row()?.inFlight, { timeout: PATIENCE_MS, interval: 10 }).toBe(0);
    // In decode: one token each second.
    const decode = start(short, stream);
    await expect.poll(running).toBe(1);
    decode.gone.abort();
    await expect.poll(() => row()?.inFlight, { timeout: PATIENCE_MS, interval: 10 }).toBe(0);
    await expect.poll(running, { timeout: PATIENCE_MS, interval: 10 }).toBe(0);
  }
  expect(server.starts()).toBe(1);
  expect(await (await start('still here', false).answer).json()).toMatchObject({ choices: [{ message: { content: 'echo: still here' } }] });
});
