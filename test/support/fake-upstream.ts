import type { GenerateEvent } from '../../src/contract/index.ts';
import type { Capabilities } from '../../src/engines/index.ts';
import { type Upstream, type UpstreamAnswer, type UpstreamCall, UpstreamFault } from '../../src/gateway/upstream.ts';
import { fakeCapabilities } from './fake-engine.ts';

export const ALL_CAPABILITIES: Capabilities = {
  ...fakeCapabilities(32_768),
  tools: true,
  forcedToolChoice: true,
  jsonSchema: true,
  maxLogprobs: 20,
};

export interface FakeUpstreamOptions extends Partial<Omit<Upstream, 'models' | 'targetOf' | 'probe' | 'send'>> {
  readonly name: string;
  readonly models?: readonly string[];
  readonly capabilities?: Partial<Capabilities>;
  /** What each call becomes; absent: an answer of `usage`. */
  readonly respond?: (call: UpstreamCall, index: number) => Promise<UpstreamAnswer> | UpstreamAnswer;
}

export interface FakeUpstream extends Upstream {
  readonly calls: UpstreamCall[];
}

/** An upstream without a server: for what is decided about upstreams, not for what goes over wires. */
export function fakeUpstream(options: FakeUpstreamOptions): FakeUpstream {
  const { name, models = ['m'], capabilities, respond, ...rest } = options;
  const calls: UpstreamCall[] = [];
  return {
    kind: 'openai',
    privacy: 'private',
    weight: 1,
    maxConcurrent: null,
    hasKey: true,
    ...rest,
    name,
    calls,
    models: () => models,
    ownName: (model) => model,
    speaks: () => false,
    async refresh() {},
    targetOf: (model) => ({
      id: `${name}/${model}`,
      upstream: name,
      capabilities: { ...ALL_CAPABILITIES, ...capabilities },
      generationConfig: {},
      vocabularySize: null,
    }),
    async probe() {
      return { state: 'ready', models: null, running: null, waiting: null, kvUsage: null };
    },
    async send(call) {
      call.signal.throwIfAborted();
      calls.push(call);
      return (await respond?.(call, calls.length - 1)) ?? textAnswer(name, call.model);
    },
  };
}

/** `hello` in one piece; `then` is told in place of the end, such as an error behind the commit point. */
export function textAnswer(upstream: string, model: string, then: readonly GenerateEvent[] | null = null): UpstreamAnswer {
  const counts = { promptTokens: 10, cachedTokens: 4, completionTokens: 5, reasoningTokens: 0 };
  const events: readonly GenerateEvent[] = [
    { kind: 'start', promptTokens: 10, cachedTokens: 4 },
    { kind: 'text-delta', choice: 0, text: 'hello' },
    ...(then ?? [{ kind: 'finish', choice: 0, reason: 'stop' }, { kind: 'usage', ...counts }, { kind: 'end' }]),
  ];
  let done = false;
  return {
    kind: 'events',
    model,
    source: { model: `${upstream}/${model}`, hash: null, upstream, version: null, device: null },
    firstTokenMs: 1,
    headers: {},
    usage: () => (done ? { ...counts, estimated: false } : null),
    events: (async function* () {
      for (const event of events) {
        if (event.kind === 'usage') done = true;
        yield event;
      }
    })(),
  };
}

/** A fault of an upstream by its status, as docs/spec/serving.md §6.4 classifies it. */
export function fault(status: number | 'connect' | 'timeout', retryAfterMs?: number): UpstreamFault {
  if (status === 'connect') return new UpstreamFault('upstream_unreachable', 'refused', { fallback: true, countsForBreaker: true });
  if (status === 'timeout') return new UpstreamFault('upstream_timeout', 'no first token', { fallback: true, countsForBreaker: true });
  const after = retryAfterMs === undefined ? {} : { retryAfterMs };
  if (status === 429) return new UpstreamFault('rate_limit_exceeded', 'slow down', { fallback: true, countsForBreaker: false, status, ...after });
  if (status === 401) return new UpstreamFault('upstream_unauthorized', 'wrong key', { fallback: false, countsForBreaker: false, status, misconfigured: true });
  if (status < 500)
    return new UpstreamFault(status === 413 ? 'request_too_large' : 'invalid_value', `status ${status}`, { fallback: false, countsForBreaker: false, status });
  return new UpstreamFault(status === 503 ? 'upstream_overloaded' : 'upstream_error', `status ${status}`, {
    fallback: true,
    countsForBreaker: true,
    status,
    ...after,
  });
}
