import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fetchGuarded, type GuardedFetchOptions } from './guarded-fetch.ts';
import { isBlockedAddress } from './url-guard.ts';

let server: Server;
let port: number;
let connections = 0;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const dialled: string[] = [];
const PUBLIC = '93.184.215.14';

beforeAll(async () => {
  server = createServer((request, response) => answer(request, response));
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  ({ port } = server.address() as AddressInfo);
});
afterAll(() => server.close());

const names: Record<string, string[]> = {
  'public.example': [PUBLIC],
  'private.example': ['10.1.2.3'],
  'half.example': [PUBLIC, '169.254.169.254'],
  'mapped.example': ['::ffff:192.168.1.1'],
  'six.example': ['fe80::1'],
  'nat.example': ['64:ff9b::a9fe:a9fe'],
};
const options: GuardedFetchOptions = {
  maxBytes: 1_000,
  resolve: async (name) => names[name] ?? [],
  dial: (address) => {
    dialled.push(address);
    return { host: '127.0.0.1', port };
  },
};
const codeOf = (link: string, more: Partial<GuardedFetchOptions> = {}): Promise<string> =>
  fetchGuarded(link, { ...options, ...more }).then(
    () => 'fetched',
    (error: unknown) => (error as { code: string }).code,
  );

describe('the guard of links', () => {
  test('[security G34] what leads to this machine, into private networks or out of HTTP makes no connection', async () => {
    answer = (_, response) => response.end('seen');
    const links = [
      `http://127.0.0.1:${port}/x`,
      'http://127.1/',
      'http://2130706433/',
      'http://0x7f000001/',
      'http://0x7f.1/',
      'http://0177.0.0.1/',
      'http://①②⑦.⓪.⓪.①/',
      'http://127。0。0。1/',
      'http://[::1]/',
      'http://[::]/',
      'http://[::ffff:127.0.0.1]/',
      'http://[::ffff:7f00:1]/',
      'http://[0:0:0:0:0:ffff:a00:1]/',
      'http://[::127.0.0.1]/',
      'http://[64:ff9b::7f00:1]/',
      'http://[2002:7f00:1::]/',
      'http://[fd00::1]/',
      'http://[fe80::1]/',
      'http://169.254.169.254/latest/meta-data/',
      'http://168.63.129.16/',
      'http://100.64.0.1/',
      'http://192.168.0.1/',
      'http://0.0.0.0/',
      'http://255.255.255.255/',
      'http://localhost/',
      'http://LOCALHOST/',
      'http://localhost./',
      'http://a.localhost/',
      'http://printer.local/',
      'http://printer.local./',
      'http://metadata.google.internal/',
      'http://metadata.google.internal./',
      'http://router.home.arpa/',
      'http://public.example\\@127.0.0.1/',
      'http://public.example\\.127.0.0.1/',
      'http://user:word@public.example/',
      'http://127.0.0.1@public.example/',
      'http://public.example:22/',
      'http://public.example:8080/',
      'http://public.example/\u0000',
      'http://pub\nlic.example/',
      ' http://public.example/',
      'http:///etc/passwd',
      'file:///etc/passwd',
      'ftp://public.example/x',
      'gopher://public.example/',
      'data:text/plain,x',
      '//public.example/x',
      'public.example/x',
      '',
      ...Object.keys(names)
        .filter((name) => name !== 'public.example')
        .map((name) => `http://${name}/`),
      'http://unknown.example/',
    ];
    for (const link of links) expect([link, await codeOf(link)]).toEqual([link, 'invalid_value']);
    expect([dialled, connections]).toEqual([[], 0]);
  });

  test('[security G34] a redirect is judged like the link itself, and a name is resolved once, to the address that was checked', async () => {
    const before = connections;
    dialled.length = 0;
    for (const location of [
      'http://127.0.0.1/',
      'http://localhost./',
      'http://private.example/',
      'file:///etc/passwd',
      'http://169.254.169.254/',
      '//[::1]/',
    ]) {
      answer = (_, response) => response.writeHead(302, { location }).end();
      expect([location, await codeOf('http://public.example/')]).toEqual([location, 'invalid_value']);
    }
    // One connection each, for the first answer.
    expect([connections - before, new Set(dialled)]).toEqual([6, new Set([PUBLIC])]);
    let asked = 0;
    const rebinding = async () => [asked++ === 0 ? PUBLIC : '127.0.0.1'];
    answer = (_, response) => response.end('seen');
    dialled.length = 0;
    expect(await codeOf('http://rebinds.example/', { resolve: rebinding })).toBe('fetched');
    expect([asked, dialled]).toEqual([1, [PUBLIC]]);
    answer = (_, response) => response.writeHead(302, { location: '/again' }).end();
    expect(await codeOf('http://public.example/')).toBe('invalid_value');
    expect(await codeOf('http://rebinds.example/', { resolve: rebinding })).toBe('invalid_value');
  });

  test('size and time are limited while it is read, and nothing of the caller goes along', async () => {
    const seen: IncomingMessage['headers'][] = [];
    answer = (request, response) => {
      seen.push(request.headers);
      response.setHeader('content-type', 'image/png; charset=x').end('abc');
    };
    const { bytes, mediaType } = await fetchGuarded('http://public.example/a?b=c', options);
    expect([Buffer.from(bytes).toString(), mediaType]).toEqual(['abc', 'image/png']);
    expect(Object.keys(seen[0]!).sort()).toEqual(['accept', 'accept-encoding', 'connection', 'host', 'user-agent']);
    expect(seen[0]!.host).toBe('public.example');
    answer = (_, response) => {
      response.write('x'.repeat(900));
      response.end('x'.repeat(900));
    };
    expect(await codeOf('http://public.example/')).toBe('invalid_value');
    answer = (_, response) => response.setHeader('content-length', '5000').write('x');
    expect(await codeOf('http://public.example/')).toBe('invalid_value');
    answer = (_, response) => response.write('x');
    expect(await codeOf('http://public.example/', { timeoutMs: 100 })).toBe('invalid_value');
    answer = (_, response) => response.writeHead(404).end();
    expect(await codeOf('http://public.example/')).toBe('invalid_value');
  });

  test('addresses of the open internet are not blocked', () => {
    for (const address of [PUBLIC, '8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '::ffff:8.8.8.8', '2a00:1450::1'])
      expect([address, isBlockedAddress(address)]).toEqual([address, false]);
    for (const address of ['172.31.255.255', '2001:db8::1', '::ffff:10.0.0.1', 'ff02::1', 'nonsense', '3fff::1'])
      expect([address, isBlockedAddress(address)]).toEqual([address, true]);
  });
});
