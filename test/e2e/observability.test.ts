import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { registerSecret, silentLogger } from '../../src/core/index.ts';
import { createLogger, createTelemetry } from '../../src/telemetry/index.ts';
import { GENAI_METRICS, GENAI_NAMES } from '../../src/telemetry/traces/genai-names.ts';
import { startObserved } from '../support/observed-http.ts';

const model = 'org/fake';
const user = (content: string) => [{ role: 'user' as const, content }];

interface WireSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: Record<string, unknown> }[];
  events?: { name: string; attributes: { key: string; value: Record<string, unknown> }[] }[];
}

/** An OTLP collector that keeps what it gets. */
async function startCollector() {
  const bodies: { path: string; body: Record<string, never>; text: string }[] = [];
  const server = createServer((incoming, outgoing) => {
    let text = '';
    incoming.setEncoding('utf8');
    incoming.on('data', (piece: string) => {
      text += piece;
    });
    incoming.on('end', () => {
      bodies.push({ path: incoming.url!, body: JSON.parse(text), text });
      outgoing.end('{}');
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const spans = (): WireSpan[] =>
    bodies
      .filter(({ path }) => path === '/v1/traces')
      .flatMap(({ body }) => (body as never as { resourceSpans: { scopeSpans: { spans: WireSpan[] }[] }[] }).resourceSpans[0]!.scopeSpans[0]!.spans);
  interface WireMetric {
    readonly name: string;
    readonly histogram: { readonly dataPoints: readonly { readonly count: string }[] };
  }
  const metrics = (): readonly WireMetric[] => {
    const last = bodies.findLast(({ path }) => path === '/v1/metrics');
    return last === undefined
      ? []
      : (last.body as never as { resourceMetrics: { scopeMetrics: { metrics: WireMetric[] }[] }[] }).resourceMetrics[0]!.scopeMetrics[0]!.metrics;
  };
  return {
    endpoint: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    bodies,
    spans,
    metrics,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

const valuesOf = (span: WireSpan): Record<string, unknown> => Object.fromEntries(span.attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

describe('traces', () => {
  test('[serving V79][security G76] a request is one trace of gateway, operation, load, queue, prefill, decode and attempt, in the names of the table, without a word of its content', async () => {
    await using collector = await startCollector();
    await using server = await startObserved({ tokenMs: 10 }, { telemetry: { otlpEndpoint: collector.endpoint } });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const response = await fetch(`${server.baseUrl}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', traceparent },
      body: JSON.stringify({ model, messages: user('hidden words here'), stream: true, temperature: 0.5, max_tokens: 50, seed: 7, stop: ['never said'] }),
    });
    await response.text();
    await server.telemetry[Symbol.asyncDispose]();

    const spans = collector.spans();
    expect(spans.map(({ name }) => name)).toEqual(['gateway', `chat ${model}`, 'load', 'queue', 'prefill', 'decode', 'upstream fake attempt 1']);
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set(['0af7651916cd43dd8448eb211c80319c']));
    const [root, operation, ...parts] = spans as [WireSpan, WireSpan, ...WireSpan[]];
    expect(root.parentSpanId).toBe('b7ad6b7169203331');
    expect(operation.parentSpanId).toBe(root.spanId);
    for (const part of parts) {
      expect(part.parentSpanId).toBe(operation.spanId);
      expect(BigInt(part.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(root.startTimeUnixNano));
      expect(BigInt(part.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(part.startTimeUnixNano));
    }
    expect(valuesOf(root)).toMatchObject({ 'http.route': '/v1/chat/completions', 'http.response.status_code': '200' });
    expect(valuesOf(operation)).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'fake',
      'gen_ai.request.model': model,
      'gen_ai.request.temperature': 0.5,
      'gen_ai.request.max_tokens': '50',
      'gen_ai.request.seed': '7',
      'gen_ai.request.stream': true,
      'gen_ai.response.model': model,
      'gen_ai.usage.input_tokens': '3',
      'gen_ai.usage.output_tokens': '4',
      'gen_ai.usage.cache_read.input_tokens': '0',
    });
    const known = new Set<string>(Object.values(GENAI_NAMES));
    const genai = spans.flatMap(({ attributes }) => attributes.map(({ key }) => key)).filter((key) => key.startsWith('gen_ai.'));
    expect(genai.filter((key) => !known.has(key))).toEqual([]);

    const metrics = collector.metrics();
    expect(metrics.map(({ name }) => name).sort()).toEqual(Object.values(GENAI_METRICS).sort());
    expect(metrics.find(({ name }) => name === GENAI_METRICS.serverDuration)!.histogram.dataPoints[0]!.count).toBe('1');
    for (const { text } of collector.bodies) expect(text).not.toMatch(/hidden|words here|echo|never said/);
  });

  test('content goes into traces only where it was asked for, and then without secrets', async () => {
    await using collector = await startCollector();
    await using server = await startObserved({}, { telemetry: { otlpEndpoint: collector.endpoint }, api: { observeContent: true } });
    await server.openai.chat.completions.create({ model, messages: user('tell hf_abcdefghijklmnopqrstuvwxyz012345 aloud') });
    await server.telemetry[Symbol.asyncDispose]();
    const event = collector.spans()[1]!.events![0]!;
    expect(event.name).toBe('gen_ai.client.inference.operation.details');
    const text = JSON.stringify(event.attributes);
    expect(text).toContain('gen_ai.input.messages');
    expect(text).toContain('echo: tell');
    expect(JSON.stringify(collector.bodies)).not.toContain('hf_abcdefghij');
  });

  test('a collector that is away costs no request, one warning, and nothing that came within bounds is lost', async () => {
    const warnings: string[] = [];
    let away = true;
    const sent: string[] = [];
    const telemetry = createTelemetry({
      version: 't',
      otlpEndpoint: 'http://127.0.0.1:9',
      logger: { ...silentLogger, warning: (message) => void warnings.push(message) },
      fetch: async (_, init) => {
        if (away) throw new TypeError('fetch failed');
        sent.push(String(init?.body));
        return new Response('{}');
      },
    });
    await using server = await startObserved({}, { gateway: { events: telemetry.events }, api: { events: telemetry.events } });
    await server.openai.chat.completions.create({ model, messages: user('a') });
    await new Promise((resolve) => setTimeout(resolve, 20));
    away = false;
    await telemetry[Symbol.asyncDispose]();
    expect(sent.join()).toContain(`chat ${model}`);
    expect(warnings.length).toBeLessThanOrEqual(1);
  });
});

describe('secrets', () => {
  test('[serving V78] prompts, answers and secrets are in no log, metric or trace; captures are off, and where they are on secrets are replaced', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'hearth-captures-'));
    const lines: string[] = [];
    const logger = createLogger({ level: 'debug', json: true, output: { write: (line: string) => lines.push(line) > 0 } as never, userHome: '/home/ada' });
    await using collector = await startCollector();
    registerSecret('test-secret', 'registered-secret-value');
    const secrets = [
      'hf_abcdefghijklmnopqrstuvwxyz012345',
      'sk-abcdefghijklmnopqrstuvwxyz',
      'AKIAABCDEFGHIJKLMNOP',
      `ghp_${'a'.repeat(36)}`,
      'eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl',
      `hth_${'a'.repeat(12)}_${'b'.repeat(43)}`,
      'registered-secret-value',
    ];
    const ask = (server: { baseUrl: string }, secret: string) =>
      fetch(`${server.baseUrl}/v1/chat/completions?token=${secret.startsWith('hth_') ? 'in the body' : secret}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', cookie: `session=${secret}`, 'x-request-id': secret },
        body: JSON.stringify({ model, messages: user(`the prompt says ${secret}`), stream: true }),
      }).then((response) => response.text());

    await using off = await startObserved({}, { telemetry: { otlpEndpoint: collector.endpoint, logger }, api: { logger } });
    for (const secret of secrets) await ask(off, secret);
    await off.openai.chat.completions.create({ model: secrets[0]!, messages: user('x') }).catch(() => {});
    const metrics = await (await off.get('/metrics')).text();
    const usage = await (await off.get('/admin/v1/usage')).text();
    expect(await (await off.get('/admin/v1/captures')).json()).toEqual({ enabled: false, captures: [] });
    await off.telemetry[Symbol.asyncDispose]();
    const told = [metrics, usage, lines.join('\n'), collector.bodies.map(({ text }) => text).join('\n')].join('\n');
    expect(told).toContain(model);
    for (const word of [...secrets, 'the prompt says', 'echo:']) expect(told).not.toContain(word);

    await using on = await startObserved({}, { telemetry: { captureDirectory: directory } });
    for (const secret of secrets) await ask(on, secret);
    const list = async () => ((await (await on.get('/admin/v1/captures')).json()) as { captures: { id: string }[] }).captures;
    await expect.poll(async () => (await list()).length).toBe(secrets.length);
    const captures = await list();
    for (const { id } of captures) {
      const text = await (await on.get(`/admin/v1/captures/${id}`)).text();
      expect(text).toContain('the prompt says');
      // What the fake engine echoes of a secret that the server knows is cut from its answer.
      expect(text).toMatch(/\[DONE\]|secret_in_answer/);
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
    for (const name of await readdir(directory)) expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
    expect((await on.get('/admin/v1/captures/req_nothing')).status).toBe(404);
    await rm(directory, { recursive: true });
  });

  test('captures are a ring: the newest two hundred of the last day', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'hearth-captures-'));
    let now = 1_700_000_000_000;
    const telemetry = createTelemetry({ version: 't', captureDirectory: directory, clock: { now: () => now, monotonic: () => performance.now() } });
    await writeFile(join(directory, 'not-a-capture.txt'), 'stays');
    const capture = (index: number) => ({
      id: `req_00000000-0000-0000-0000-${String(index).padStart(12, '0')}`,
      atMs: now,
      method: 'POST',
      path: '/v1/completions',
      status: 200,
      requestHeaders: { authorization: 'Bearer plain', accept: '*/*' },
      requestBody: '{}',
      responseHeaders: {},
      responseBody: 'x',
    });
    for (let index = 0; index < 205; index++) {
      now += 1000;
      await telemetry.captures!.save(capture(index));
    }
    const kept = await telemetry.captures!.list();
    expect(kept).toHaveLength(200);
    expect(kept[0]!.id).toBe(capture(204).id);
    expect((await telemetry.captures!.read(capture(204).id))!.requestHeaders).toEqual({
      authorization: expect.stringMatching(/^\[redacted:authorization:[0-9a-f]{8}\]$/),
      accept: '*/*',
    });
    expect(await telemetry.captures!.read(capture(4).id)).toBeNull();
    now += 24 * 3_600_000 - 10_000;
    expect((await telemetry.captures!.list()).length).toBe(11);
    now += 60_000;
    expect(await telemetry.captures!.list()).toEqual([]);
    expect(await readdir(directory)).toEqual(['not-a-capture.txt']);
    await telemetry[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });
});
