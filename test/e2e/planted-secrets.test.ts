import { readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { socketFetch } from '../../src/app/index.ts';
import { createTestHome } from '../support/hearth-process.ts';
import { installTinyModel } from '../support/tiny-model.ts';

const fill = (letter: string, length: number): string =>
  Array.from({ length }, (_, i) => `${letter}${(i * 7 + letter.charCodeAt(0)) % 10}`.at(i % 2)!).join('');

/** One of each kind; the last field is what must be found nowhere. */
const SECRETS: readonly (readonly [kind: string, text: string, core: string])[] = (
  [
    ['hub', `hf_${fill('H', 34)}`],
    ['openai', `sk-proj-${fill('O', 40)}`],
    ['aws', `AKIA${fill('A', 16)}`],
    ['aws-secret', `aws_secret_access_key=${fill('s', 40)}`],
    ['github', `ghp_${fill('g', 36)}`],
    ['npm', `npm_${fill('n', 36)}`],
    ['slack', `xoxb-${fill('x', 24)}`],
    ['own', `hth_${fill('k', 12)}_${fill('K', 43)}`],
    ['jwt', `eyJ${fill('j', 20)}.eyJ${fill('J', 30)}.${fill('w', 43)}`],
    ['pem', `-----BEGIN PRIVATE KEY-----\n${fill('p', 64)}\n${fill('q', 64)}\n-----END PRIVATE KEY-----`],
    ['userinfo', `https://ada:${fill('u', 16)}@example.test/`],
    ['password', `{"password":"${fill('P', 14)}"}`],
  ] as const
).map(([kind, text]) => [kind, text, text.match(/[A-Za-z]?(?:\d[A-Za-z]|[A-Za-z]\d){5,}/)![0].slice(0, 12)]);

/** Every byte that is kept below a directory, unpacked. */
async function kept(directory: string): Promise<{ readonly path: string; readonly text: string }[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const bytes = await readFile(path);
        const plain = path.endsWith('.zst') ? zstdDecompressSync(bytes) : path.endsWith('.gz') ? gunzipSync(bytes) : bytes;
        return { path, text: plain.toString('latin1') };
      }),
  );
}

test('[security G63] secrets planted in headers, bodies, URLs, errors, environment and configuration are in no log, capture, trace, metric, answer or crash report', async () => {
  await using home = await createTestHome();
  await installTinyModel(home.hfHome);
  const traces: string[] = [];
  const collector = createServer((request, response) => {
    let text = '';
    request.on('data', (piece) => {
      text += piece;
    });
    request.on('end', () => {
      traces.push(text);
      response.end('{}');
    });
  });
  await new Promise<void>((ready) => collector.listen(0, '127.0.0.1', ready));
  const { port: collectorPort } = collector.address() as { port: number };
  const text = (kind: string): string => SECRETS.find(([name]) => name === kind)![1];
  // The last line makes the daemon end by an error that nobody foresaw, with a secret in it.
  const crash = `data:text/javascript,process.on('SIGUSR2',()=>{setTimeout(()=>{throw new Error(${JSON.stringify(`lost ${text('github')} and ${text('openai')}`)})})})`;
  const server = home.start(['serve', '--json', '--port', '0', '--log-level', 'debug', '--log-json', '--model', 'tiny-llama'], {
    env: {
      HF_TOKEN: text('hub'),
      OPENAI_API_KEY: text('openai'),
      GITHUB_TOKEN: text('github'),
      HEARTH_CAPTURES_ENABLED: 'true',
      HEARTH_TELEMETRY_CONTENT: 'true',
      HEARTH_TELEMETRY_OTLP_ENDPOINT: `http://127.0.0.1:${collectorPort}`,
      NODE_OPTIONS: `--import=${encodeURI(crash)}`,
    },
  });
  const document = await server.waitFor('stdout', /\n\}\n/);
  const started = JSON.parse(document) as { data: { port: number } | null };
  if (started.data === null) throw new Error(document + server.stderr());
  const base = `http://127.0.0.1:${started.data.port}`;
  const answers: string[] = [];
  const ask = async (path: string, init: RequestInit = {}): Promise<void> => {
    const response = await fetch(`${base}${path}`, init);
    answers.push(`${JSON.stringify([...response.headers])} ${await response.text()}`);
  };
  const json = { 'content-type': 'application/json' };
  const chat = (body: object, headers: Record<string, string> = {}) =>
    ask('/v1/chat/completions', { method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify({ model: 'tiny-llama', max_tokens: 4, ...body }) });

  for (const [, secret, core] of SECRETS) {
    const line = secret.replaceAll('\n', ' ');
    const content = `Please keep ${secret} to yourself.`;
    await chat({ messages: [{ role: 'user', content }], user: secret, metadata: { note: secret }, stop: ['zzzz'] });
    await chat(
      { messages: [{ role: 'user', content: 'hi' }], stream: true },
      { 'x-forwarded-authorization': line, 'x-request-id': line, cookie: `s=${line}`, 'user-agent': line },
    );
    await chat({ messages: [{ role: 'user', content: 'hi' }] }, { authorization: `Bearer ${line}`, traceparent: line });
    await chat({ messages: [{ role: 'user', content: 'hi' }] }, { 'x-api-key': line });
    await chat({ model: secret, messages: [{ role: 'user', content }] });
    await chat({ messages: [{ role: secret, content }] });
    await chat({ messages: [{ role: 'user', content: [{ type: secret, text: secret }] }] });
    await chat({ messages: [{ role: 'user', content }], response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { [secret]: 1 } } } });
    await chat({ messages: [{ role: 'user', content }], tools: [{ type: 'function', function: { name: secret, parameters: { type: secret } } }] });
    await ask('/v1/chat/completions', { method: 'POST', headers: json, body: `{"model": "${core}${secret}` });
    await ask('/v1/completions', {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ model: 'tiny-llama', prompt: secret, max_tokens: 2, temperature: secret }),
    });
    await ask('/v1/messages', {
      method: 'POST',
      headers: { ...json, 'anthropic-version': line },
      body: JSON.stringify({ model: secret, max_tokens: 1, messages: [] }),
    });
    for (const where of [
      `/v1/models/${encodeURIComponent(secret)}`,
      `/nowhere/${encodeURIComponent(secret)}`,
      `/v1/models?token=${encodeURIComponent(secret)}`,
      `/metrics?api_key=${encodeURIComponent(secret)}`,
    ])
      await ask(where);
  }
  // What is no HTTP at all, and a wrong name of the host.
  for (const raw of [
    `GET / HTTP/1.1\r\nHost: ${text('hub')}\r\n\r\n`,
    `${text('openai')}\r\n\r\n`,
    `GET http://ada:${text('npm')}@x/ HTTP/1.1\r\nHost: x\r\n\r\n`,
  ]) {
    const socket = connect(started.data.port, '127.0.0.1');
    socket.end(raw);
    for await (const piece of socket) answers.push(String(piece));
  }
  const admin = socketFetch(join(home.home, 'run/hearthd.sock'));
  for (const path of [
    '/metrics',
    '/admin/v1/status',
    '/admin/v1/requests',
    '/admin/v1/captures',
    '/admin/v1/usage',
    '/admin/v1/store',
    '/admin/v1/upstreams',
    '/admin/v1/config/reload',
  ])
    answers.push(await (await admin(new Request(`http://localhost${path}`))).text());
  // A configuration that is broken, and one that is merely wrong.
  for (const broken of [
    `serve: [${text('aws')}\n  : {"password": "${text('github')}`,
    `serve:\n  port: ${text('slack')}\n${text('npm')}: 1\nremotes:\n  x:\n    url: ${text('userinfo')}\n    key: ${text('openai')}\n`,
  ]) {
    await writeFile(join(home.home, 'config.yaml'), broken);
    answers.push(await (await admin(new Request('http://localhost/admin/v1/config/reload', { method: 'POST' }))).text());
    const told = await home.run(['config', 'list', '--json']);
    answers.push(told.stdout, told.stderr, (await home.run(['list'])).stderr, (await home.run(['status'])).stderr);
  }
  for (let waited = 0; traces.length === 0 && waited < 300; waited += 1) await sleep(100);
  server.child.kill('SIGUSR2');
  const ended = await server.ended;
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain('something went wrong that it did not foresee');
  collector.closeAllConnections();
  await new Promise((done) => collector.close(done));

  const files = (await kept(home.home)).filter(({ path }) => !path.endsWith('config.yaml'));
  const places = [
    ...files,
    { path: 'stdout', text: ended.stdout },
    { path: 'stderr', text: ended.stderr },
    { path: 'traces', text: traces.join('\n') },
    { path: 'answers', text: answers.join('\n') },
  ];
  expect(files.some(({ path }) => path.endsWith('.zst'))).toBe(true);
  expect(traces.length).toBeGreaterThan(0);
  const found = places.flatMap(({ path, text: all }) =>
    SECRETS.filter(([, , core]) => all.includes(core)).map(
      ([kind, , core]) => `${kind} in ${path}: ${all.slice(Math.max(0, all.indexOf(core) - 160), all.indexOf(core) + 20)}`,
    ),
  );
  expect(found).toEqual([]);
  // They were there: what is left of each is its mark.
  for (const kind of ['hub-token', 'api-key', 'github-token', 'private-key', 'jwt'])
    expect(places.map((place) => place.text).join('\n')).toContain(`[redacted:${kind}:`);
  expect(ended.stderr).not.toContain(home.directory);
}, 180_000);
