import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, expect, it } from 'vitest';
import { embeddingProxy } from './embedding-proxy.ts';

const mute = createServer(() => {});
await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
const { port } = mute.address() as AddressInfo;
afterAll(() => {
  mute.closeAllConnections();
  mute.close();
});

const ask = (path: string, limits: { readMs: number }) => {
  const request = new Request('http://here/', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
  return embeddingProxy({ backend: `http://127.0.0.1:${port}${path}`, maxBodyBytes: 1024, limits })({}, { request, signal: AbortSignal.timeout(60_000) });
};

it('[store K115] a backend that takes the request and never answers is 504', async () => {
  await expect(ask('', { readMs: 50 })).rejects.toMatchObject({ code: 'upstream_timeout', row: { status: 504 } });
  await expect(ask('/v1/', { readMs: 50 })).rejects.toMatchObject({ code: 'upstream_timeout' });
});

it('a body over the limit is refused before it is sent', async () => {
  const request = new Request('http://here/', { method: 'POST', headers: { 'content-type': 'application/json' }, body: 'x'.repeat(2000) });
  const call = embeddingProxy({ backend: `http://127.0.0.1:${port}`, maxBodyBytes: 1024 });
  await expect(call({}, { request, signal: AbortSignal.timeout(60_000) })).rejects.toMatchObject({ code: 'request_too_large' });
});
