import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { checkDependencies } from './check-dependencies.ts';
import { askOsv } from './online.ts';
import { readPythonLock } from './python-lock.ts';

const record = {
  id: 'PYSEC-1',
  affected: [{ package: { ecosystem: 'PyPI', name: 'a' }, ranges: [{ type: 'ECOSYSTEM', events: [{ introduced: '0' }, { fixed: '2.0' }] }] }],
};

/** A service on loopback under a public name: two pages of ids, then the records. */
async function startService() {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    const body = (await request.toArray()).join('');
    asked.push(`${request.method} ${request.url} ${body}`);
    if (request.url === '/v1/vulns/PYSEC-1') return void response.end(JSON.stringify(record));
    const queries = (JSON.parse(body) as { queries: { package: { name: string }; page_token?: string }[] }).queries;
    const results = queries.map((query) =>
      query.package.name !== 'a' ? {} : query.page_token === 'more' ? { vulns: [{ id: 'PYSEC-1' }] } : { next_page_token: 'more' },
    );
    response.end(JSON.stringify({ results }));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  const network = { resolve: async () => ['93.184.216.34'], dial: () => ({ host: '127.0.0.1', port }) };
  return { asked, network, [Symbol.asyncDispose]: async () => void server.close() };
}

test('the online form asks for names and versions in batches, follows pages, and judges the records here', async () => {
  await using service = await startService();
  const locks = [readPythonLock('a==1.0\nb==1.0\n', 'r.txt')];
  const options = { endpoint: 'http://osv.example', signal: new AbortController().signal, network: service.network };
  const records = await askOsv(locks, options);
  const report = checkDependencies({ locks, knowledge: { kind: 'online', records, states: [] }, exceptions: [], failOn: 'high', nowMs: Date.now() });
  expect(report).toMatchObject({ ok: false, source: 'online', findings: [{ id: 'PYSEC-1', fixedIn: '2.0' }], faults: [{ code: 'vulnerable' }] });
  expect(service.asked.map((each) => each.split(' ').slice(0, 2).join(' '))).toEqual(['POST /v1/querybatch', 'POST /v1/querybatch', 'GET /v1/vulns/PYSEC-1']);
  // Nothing else leaves the machine.
  expect(JSON.parse(service.asked[0]!.split(' ').slice(2).join(' '))).toEqual({
    queries: ['a', 'b'].map((name) => ({ package: { ecosystem: 'PyPI', name }, version: '1.0' })),
  });
});

test('a service on a private address, or none, is a failure and no clean result', async () => {
  const locks = [readPythonLock('a==1.0\n', 'r.txt')];
  const signal = new AbortController().signal;
  for (const endpoint of ['http://127.0.0.1', 'http://osv.example'])
    await expect(askOsv(locks, { endpoint, signal, network: { resolve: async () => ['10.0.0.1'] } })).rejects.toMatchObject({
      code: 'dependency_check_failed',
    });
});
