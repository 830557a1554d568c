import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lineSignal } from '../../../test/support/security-signals.ts';
import { type Clock, type SecurityEvent, silentLogger } from '../../core/index.ts';
import { createDetection } from './create-detection.ts';
import { createCommandSink, createDesktopSink, createFileSink } from './sinks/local-sinks.ts';
import { createOtlpSink, createSyslogSink, createWebhookSink, syslogMessage } from './sinks/network-sinks.ts';
import type { AlertSink, SinkMessage } from './sinks/sink.ts';

interface Received {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A real server that answers as it is told. */
async function startReceiver(answer: (response: ServerResponse, count: number) => void) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (piece: string) => {
      body += piece;
    });
    request.on('end', () => {
      received.push({ path: request.url ?? '', headers: request.headers, body });
      answer(response, received.length);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    received,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function createFakeClock(): Clock & { ahead(ms: number): void } {
  let skew = 0;
  const ahead = (ms: number): void => {
    skew += ms;
  };
  return { now: () => Date.UTC(2027, 0, 4) + skew, monotonic: () => performance.now() + skew, ahead };
}

async function until(what: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !what(); tries += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(what()).toBe(true);
}

async function createRun(sinks: readonly AlertSink[], delivery: object = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'hearth_alerts_'));
  const clock = createFakeClock();
  const events: SecurityEvent[] = [];
  const detection = createDetection({
    path: join(directory, 'state', 'alerts.json'),
    events: { record: (event) => void events.push(event), assertWritable() {} },
    sinks,
    host: 'machine',
    clock,
    uptimeMs: () => clock.monotonic(),
    logger: silentLogger,
    delivery: { backOffMs: () => 5, ...delivery },
  });
  return {
    detection,
    clock,
    events,
    directory,
    path: join(directory, 'state', 'alerts.json'),
    alarm: (id: string) => detection.take(lineSignal({ event: 'model.refused', model: { id }, reason: 'sig_missing' })),
    async [Symbol.asyncDispose]() {
      await detection[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

const message: SinkMessage = {
  atMs: Date.UTC(2027, 0, 4, 12),
  host: 'machine',
  cause: 'new',
  alert: { id: 'abc', rule: 'R3', severity: 'high', subject: 'from "192.0.2.1"]\n', message: '5 wrong keys; $(touch /tmp/x) <b>', count: 2 },
};

describe('the webhook', () => {
  test('[security G74] it gets each alert as JSON, with a signature over timestamp and body that checks', async () => {
    await using server = await startReceiver((response) => response.writeHead(204).end());
    await using run = await createRun([createWebhookSink({ url: `${server.url}/hook`, secret: 'between us' })]);
    run.alarm('org/bad');
    await until(() => server.received.length === 1);
    const [{ headers, body, path }] = server.received as [Received];
    expect(path).toBe('/hook');
    expect(JSON.parse(body)).toMatchObject({ v: 1, rule: 'R1', severity: 'high', cause: 'new', host: 'machine' });
    const expected = createHmac('sha256', 'between us').update(`${headers['x-hearth-timestamp']}${body}`).digest('hex');
    expect(headers['x-hearth-signature']).toBe(`sha256=${expected}`);
    expect(Number(headers['x-hearth-timestamp'])).toBe(Math.floor(run.clock.now() / 1000));
  });

  test('[security G74] a server that is down, slow, answers 500 or redirects: five tries each, then the next alert, and after five minutes the other sinks hear that it is dead', async () => {
    await using elsewhere = await startReceiver((response) => response.end());
    const answers: Record<string, (response: ServerResponse) => void> = {
      slow() {},
      error: (response) => void response.writeHead(500).end('no'),
      redirect: (response) => void response.writeHead(307, { location: elsewhere.url }).end(),
    };
    for (const kind of ['down', 'slow', 'error', 'redirect']) {
      await using server = await startReceiver((response) => answers[kind]?.(response));
      const url = kind === 'down' ? 'http://127.0.0.1:9/' : server.url;
      const heard: SinkMessage[] = [];
      const other: AlertSink = { name: 'other', perMinute: 600, send: async (each) => void heard.push(each) };
      await using run = await createRun([createWebhookSink({ url, secret: 's' }), other], { timeoutMs: kind === 'slow' ? 30 : 10_000 });
      run.alarm('org/one');
      run.alarm('org/two');
      // Others have it at once, whatever the webhook does.
      await until(() => heard.length === 2);
      await until(() => run.detection.sinks[0]!.dropped === 2);
      if (kind !== 'down') expect(server.received, kind).toHaveLength(10);
      run.detection.tick();
      expect(run.events.filter(({ event }) => event === 'sink.dead')).toEqual([]);
      run.clock.ahead(300_000);
      run.detection.tick();
      run.detection.tick();
      expect(run.events.filter(({ event }) => event === 'sink.dead')).toMatchObject([{ outcome: 'failed', reason: 'webhook' }]);
      await until(() => heard.some(({ alert }) => alert.rule === 'sink.dead'));
      expect(run.detection.sinks[0]).toMatchObject({ sent: 0, dead: true });
    }
    expect(elsewhere.received).toEqual([]);
  });

  test('[security G74] a sink that answers again is alive, and hears of what comes then', async () => {
    let broken = true;
    await using server = await startReceiver((response) => response.writeHead(broken ? 503 : 200).end());
    await using run = await createRun([createWebhookSink({ url: server.url, secret: 's' })], { deadAfterMs: 0 });
    run.alarm('org/one');
    await until(() => run.detection.sinks[0]!.dropped === 1);
    expect(run.detection.sinks[0]).toMatchObject({ dead: true, failing: 'the server answered 503' });
    broken = false;
    run.alarm('org/two');
    await until(() => run.detection.sinks[0]!.sent === 1);
    expect(run.detection.sinks[0]).toMatchObject({ dead: false, failing: null });
  });

  test('[security G74] while it hangs, five thousand alerts cost next to nothing and at most a thousand wait; no more than ten a minute go out', async () => {
    await using hanging = await startReceiver(() => {});
    await using run = await createRun([createWebhookSink({ url: hanging.url, secret: 's' })]);
    for (let i = 0; i < 5_000; i += 1) run.alarm(`org/model-${i}`);
    expect(run.detection.sinks[0]!.waiting).toBe(1_000);
    expect(run.detection.sinks[0]!.dropped).toBeGreaterThanOrEqual(3_999);
    expect(run.detection.alerts.list()).toHaveLength(1_000);

    await using quick = await startReceiver((response) => response.end());
    await using other = await createRun([createWebhookSink({ url: quick.url, secret: 's' })]);
    for (let i = 0; i < 30; i += 1) other.alarm(`org/model-${i}`);
    await until(() => quick.received.length === 10);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(quick.received).toHaveLength(10);
    expect(other.detection.sinks[0]).toMatchObject({ sent: 10, waiting: 20 });
  });

  test.each(['file:///etc/passwd', 'http://user:secret@host/', 'ftp://host/', 'http://host\\@other/', 'nothing'])('the address %s is refused', (url) => {
    expect(() => createWebhookSink({ url, secret: 's' })).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  });
});

describe('other sinks', () => {
  test('a file for its owner alone gets a line of JSON for each alert', async () => {
    await using run = await createRun([]);
    const path = join(run.directory, 'alerts.jsonl');
    const sink = createFileSink(path);
    await sink.send(message, new AbortController().signal);
    await sink.send(message, new AbortController().signal);
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ rule: 'R3', alert: 'abc' }, { count: 2 }]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('syslog gets one datagram of RFC 5424 over UDP, with nothing in it that ends a value or a line', async () => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const heard = once(socket, 'message');
    await createSyslogSink({ address: `udp://127.0.0.1:${socket.address().port}`, pid: 7 }).send(message, new AbortController().signal);
    const [bytes] = (await heard) as [Buffer];
    socket.close();
    expect(bytes.toString()).toBe(
      '<107>1 2027-01-04T12:00:00.000Z machine hearth 7 alert [alert@32473 id="abc" rule="R3" cause="new" count="2" subject="from \\"192.0.2.1\\"\\] "] \ufeff5 wrong keys; $(touch /tmp/x) <b>',
    );
    const long = syslogMessage({ ...message, alert: { ...message.alert, message: 'é'.repeat(3_000) } }, 7);
    expect(long.length).toBeLessThanOrEqual(2_048);
    expect(long.toString()).not.toContain('\ufffd');
    expect(() => createSyslogSink({ address: '/dev/log', pid: 1 })).toThrow(expect.objectContaining({ code: 'config_invalid' }));
  });

  test('a collector gets a log record of OTLP', async () => {
    await using server = await startReceiver((response) => response.end('{}'));
    await createOtlpSink({ endpoint: `${server.url}/`, version: '1.0.0' }).send(message, new AbortController().signal);
    const [{ path, body }] = server.received as [Received];
    expect(path).toBe('/v1/logs');
    const [record] = JSON.parse(body).resourceLogs[0].scopeLogs[0].logRecords;
    expect(record).toMatchObject({
      timeUnixNano: `${message.atMs}000000`,
      severityNumber: 17,
      severityText: 'HIGH',
      body: { stringValue: message.alert.message },
    });
  });

  test('a command and the desktop get the message as an argument or in the environment, never through a shell', async () => {
    const runs: { argv: readonly string[]; environment: Readonly<Record<string, string>> }[] = [];
    const note = async (argv: readonly string[], environment: Readonly<Record<string, string>>) => void runs.push({ argv, environment });
    const { signal } = new AbortController();
    await createCommandSink(['/usr/bin/mail', 'me'], note).send(message, signal);
    await createDesktopSink('linux', note).send(message, signal);
    await createDesktopSink('darwin', note).send(message, signal);
    expect(runs[0]!.argv).toEqual(['/usr/bin/mail', 'me']);
    expect(JSON.parse(runs[0]!.environment['HEARTH_ALERT']!)).toMatchObject({ rule: 'R3', message: message.alert.message });
    expect(runs[0]!.environment['HEARTH_ALERT_SUBJECT']).not.toContain('\n');
    expect(runs[1]!.argv.slice(-2)).toEqual(['hearth: high alert R3', '5 wrong keys; $(touch /tmp/x) &lt;b&gt;']);
    expect(runs[2]!.argv.slice(-3)).toEqual(['--', 'hearth: high alert R3', message.alert.message]);
  });

  test('alerts, what was acknowledged and silences outlive the daemon', async () => {
    await using run = await createRun([]);
    run.alarm('org/one');
    run.alarm('org/two');
    const [first] = run.detection.alerts.list();
    run.detection.alerts.acknowledge(first!.id, 'owner', run.clock.now());
    run.detection.alerts.silence({ rule: 'R1', subject: null, untilMs: run.clock.now() + 60_000, reason: null, by: 'owner' }, run.clock.now());
    await run.detection[Symbol.asyncDispose]();
    const events = { record() {}, assertWritable() {} };
    const next = createDetection({ path: run.path, events, sinks: [], host: 'machine', clock: run.clock, uptimeMs: () => 0 });
    expect(
      next.alerts
        .list()
        .map(({ acknowledged }) => acknowledged?.by ?? null)
        .sort(),
    ).toEqual(['owner', null].sort());
    expect(next.alerts.silences(run.clock.now())).toHaveLength(1);
  });
});
