import { expect, test } from 'vitest';
import { endpoints } from '../../src/contract/index.ts';
import { startHttp } from '../support/http-fixture.ts';

const user = [{ role: 'user', content: 'one two three' }];
const body = (more: object = {}) => JSON.stringify({ model: 'org/fake', messages: user, ...more });
const post = (url: string, text: string): Promise<Response> => fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: text });

/** Status, code, whether a repeat may help, and what the headers say of one. */
async function told(response: Response): Promise<unknown[]> {
  const { error } = (await response.json()) as { error: { code: string; retryable: boolean } };
  const after = response.headers.get('retry-after');
  return [response.status, error.code, error.retryable, after === null ? null : Number(after) >= 1, response.headers.get('x-should-retry')];
}

test('[store K106] [security G47] 507, 501, 502, 503 and 504 come with their code, whether to try again, and when', async () => {
  await using small = await startHttp({ memoryBytes: 2e9 }, { gateway: { memoryBudgetBytes: 1e9 } });
  expect(await told(await post(`${small.baseUrl}/v1/chat/completions`, body()))).toEqual([507, 'insufficient_memory', false, null, 'false']);

  await using server = await startHttp({ tokenMs: 50 }, { gateway: { requestMs: 400 }, api: { embeddings: { backend: 'http://127.0.0.1:1' } } });
  const chat = `${server.baseUrl}/v1/chat/completions`;
  await server.client.call(endpoints.loadModel, { body: { model: 'org/fake' } });
  const unbuilt = await server.api.request(
    new Request('http://hearth/admin/v1/config/reload', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }),
  );
  expect(await told(unbuilt)).toEqual([501, 'not_implemented', false, null, 'false']);
  expect(await told(await post(`${server.baseUrl}/v1/embeddings`, JSON.stringify({ model: 'any', input: 'x' })))).toEqual([
    502,
    'upstream_unreachable',
    true,
    null,
    null,
  ]);
  const long = body({ messages: [{ role: 'user', content: 'word '.repeat(300) }] });
  expect(await told(await post(chat, long))).toEqual([504, 'request_timeout', true, null, null]);
  void server.gateway.close({ drainTimeoutMs: 0 });
  expect(await told(await post(chat, body()))).toEqual([503, 'draining', true, true, null]);
});
