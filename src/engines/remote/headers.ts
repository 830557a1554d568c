import type { IncomingHttpHeaders } from 'node:http';
import { registerSecret } from '../../core/index.ts';
import type { UpstreamCall } from './call.ts';
import type { WireDialect } from './dialects.ts';
import type { RemoteOptions } from './remote-options.ts';

const ANTHROPIC_VERSION = '2023-06-01';
/** Headers of clients that go on; a key, a cookie or what belongs to one connection never does (docs/spec/serving.md §6.5). */
const FORWARDED = /^(?:anthropic-.+|openai-beta|traceparent|tracestate|x-request-id|x-hearth-session)$/;
/** Never forwarded, whatever the configuration names. */
const NEVER =
  /^(?:authorization|x-api-key|cookie|set-cookie|proxy-.*|connection|keep-alive|te|trailer|transfer-encoding|upgrade|host|content-.*|anthropic-api-key)$/;
const RETURNED = /^(?:x-ratelimit-.+|anthropic-ratelimit-.+|openai-processing-ms)$/;

export function requestHeaders(
  options: RemoteOptions,
  dialect: WireDialect,
  call: Pick<UpstreamCall, 'headers' | 'hops' | 'stream'>,
  forAnthropic: boolean,
): Record<string, string> {
  const out: Record<string, string> = {};
  const sessions = new Set(options.sessionHeaders ?? []);
  for (const [name, value] of Object.entries(call.headers ?? {})) {
    const lower = name.toLowerCase();
    if (!NEVER.test(lower) && (FORWARDED.test(lower) || sessions.has(lower))) out[lower] = value;
  }
  const accept = Object.entries(call.headers ?? {}).find(([name]) => name.toLowerCase() === 'accept')?.[1];
  out['accept'] = accept ?? (call.stream ? 'text/event-stream' : 'application/json');
  out['accept-encoding'] = 'identity';
  out['content-type'] = 'application/json';
  const key = options.apiKey?.();
  if (key !== undefined) {
    // The server may repeat it in a message.
    registerSecret('upstream-key', key);
    if (forAnthropic && !dialect.bearerOnly && options.kind === 'anthropic') out['x-api-key'] = key;
    else out['authorization'] = `Bearer ${key}`;
  }
  if (forAnthropic) out['anthropic-version'] ??= ANTHROPIC_VERSION;
  if (options.kind === 'peer') out['x-hearth-hops'] = String((call.hops ?? 0) + 1);
  return out;
}

export const returnedHeaders = (headers: IncomingHttpHeaders): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (RETURNED.test(name) && typeof value === 'string' ? [[name, value]] : [])));
