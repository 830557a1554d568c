import { createHmac } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { type Fetch, HearthError, type SecuritySeverity } from '../../../core/index.ts';
import { type AlertSink, messageJson, type SinkMessage } from './sink.ts';

export interface WebhookOptions {
  readonly url: string;
  readonly secret: string;
  readonly fetch?: Fetch;
}

/**
 * POST of the message as JSON; `x-hearth-signature` is `sha256=` and the hex HMAC-SHA-256 over the text of `x-hearth-timestamp` (seconds since the
 * epoch) followed by the body. The host is one that the user configured, so that it may be of a private network; nothing leads away from it.
 */
export function createWebhookSink({ url, secret, fetch = globalThis.fetch }: WebhookOptions): AlertSink {
  const target = checkedUrl(url);
  return {
    name: 'webhook',
    perMinute: 10,
    async send(message, signal) {
      const body = messageJson(message);
      const timestamp = String(Math.floor(message.atMs / 1000));
      const signature = createHmac('sha256', secret)
        .update(timestamp + body)
        .digest('hex');
      await post(fetch, target, body, { 'x-hearth-timestamp': timestamp, 'x-hearth-signature': `sha256=${signature}` }, signal);
    },
  };
}

/** Throws config_invalid for what is no plain address of a server. */
function checkedUrl(text: string): string {
  const url = URL.canParse(text) && !/[\\\p{Cc}\p{Cf}\s]/u.test(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '')
    throw new HearthError('config_invalid', 'alerts.webhook.url has to be an http: or https: address without a user name in it.');
  return url.href;
}

async function post(fetch: Fetch, url: string, body: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
  // A redirect is an answer like any other here: it leads nowhere.
  const response = await fetch(url, { method: 'POST', redirect: 'manual', headers: { 'content-type': 'application/json', ...headers }, body, signal });
  await response.body?.cancel().catch(() => {});
  if (response.status >= 300 && response.status < 400) throw new Error(`the server answered with a redirect (${response.status}), which is not followed`);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
}

/** Numbers of RFC 5424 and of the data model of OpenTelemetry logs. */
const LEVELS: Readonly<Record<SecuritySeverity, { readonly syslog: number; readonly otlp: number }>> = {
  info: { syslog: 6, otlp: 9 },
  low: { syslog: 5, otlp: 10 },
  medium: { syslog: 4, otlp: 13 },
  high: { syslog: 3, otlp: 17 },
  critical: { syslog: 2, otlp: 21 },
};

/** The base URL of a collector that takes OTLP over HTTP as JSON; `/v1/logs` is added. */
export function createOtlpSink({
  endpoint,
  version,
  fetch = globalThis.fetch,
}: {
  readonly endpoint: string;
  readonly version: string;
  readonly fetch?: Fetch;
}): AlertSink {
  const url = `${endpoint.replace(/\/+$/, '')}/v1/logs`;
  return {
    name: 'otlp',
    perMinute: 60,
    send: (message, signal) => post(fetch, url, JSON.stringify(otlpBody(message, version)), {}, signal),
  };
}

function otlpBody({ atMs, host, cause, alert }: SinkMessage, version: string): object {
  const text = (key: string, value: string) => ({ key, value: { stringValue: value } });
  const timeUnixNano = `${atMs}000000`;
  return {
    resourceLogs: [
      {
        resource: { attributes: [text('service.name', 'hearth'), text('service.version', version), text('host.name', host)] },
        scopeLogs: [
          {
            scope: { name: 'hearth.security' },
            logRecords: [
              {
                timeUnixNano,
                observedTimeUnixNano: timeUnixNano,
                severityNumber: LEVELS[alert.severity].otlp,
                severityText: alert.severity.toUpperCase(),
                eventName: 'hearth.alert',
                body: { stringValue: alert.message },
                attributes: [
                  text('hearth.alert.id', alert.id),
                  text('hearth.alert.rule', alert.rule),
                  text('hearth.alert.subject', alert.subject),
                  text('hearth.alert.cause', cause),
                  { key: 'hearth.alert.count', value: { intValue: String(alert.count) } },
                ],
              },
            ],
          },
        ],
      },
    ],
  };
}

/** Facility 13: log audit. */
const FACILITY = 13;
/** Receivers have to take so much of a message in one datagram (RFC 5426). */
const DATAGRAM_BYTES = 2048;

/** RFC 5424: one datagram for a message. `host:port` over UDP. */
export function createSyslogSink({ address, pid }: { readonly address: string; readonly pid: number }): AlertSink {
  const [, host, port = '514'] = /^udp:\/\/(\[[0-9a-f:.]+\]|[^:/\s]+)(?::(\d{1,5}))?$/i.exec(address) ?? [];
  if (host === undefined || Number(port) > 65_535 || Number(port) === 0)
    throw new HearthError('config_invalid', `alerts.syslog is ${address}; it has to be udp://HOST:PORT.`);
  const bare = host.replace(/^\[|\]$/g, '');
  return {
    name: 'syslog',
    perMinute: 60,
    send: (message, signal) =>
      new Promise<void>((resolve, reject) => {
        const socket = createSocket(isIPv6(bare) ? 'udp6' : 'udp4');
        const end = (error?: Error | null): void => {
          signal.removeEventListener('abort', abort);
          socket.removeAllListeners('error').on('error', () => {});
          socket.close();
          if (error) reject(error);
          else resolve();
        };
        const abort = (): void => end(new Error('it took too long'));
        signal.addEventListener('abort', abort, { once: true });
        socket.once('error', end);
        socket.send(syslogMessage(message, pid), Number(port), bare, end);
      }),
  };
}

export function syslogMessage({ atMs, host, cause, alert }: SinkMessage, pid: number): Buffer {
  const value = (text: string) => text.replaceAll(/[\p{Cc}]/gu, ' ').replaceAll(/["\\\]]/g, '\\$&');
  const name = (text: string) => text.replaceAll(/[^\x21-\x7e]/g, '').slice(0, 255) || '-';
  const data = `[alert@32473 id="${value(alert.id)}" rule="${value(alert.rule)}" cause="${cause}" count="${alert.count}" subject="${value(alert.subject.slice(0, 256))}"]`;
  const head = `<${FACILITY * 8 + LEVELS[alert.severity].syslog}>1 ${new Date(atMs).toISOString()} ${name(host)} hearth ${pid} alert ${data} `;
  const bytes = Buffer.from(`${head}\ufeff${alert.message.replaceAll(/\p{Cc}/gu, ' ')}`);
  if (bytes.length <= DATAGRAM_BYTES) return bytes;
  // Whole characters only.
  return Buffer.from(new TextDecoder().decode(bytes.subarray(0, DATAGRAM_BYTES)).replace(/\ufffd+$/, ''));
}
