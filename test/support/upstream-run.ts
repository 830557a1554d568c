import { type GenerateEvent, type GenerateRequest, GREEDY_SAMPLING } from '../../src/contract/index.ts';
import { createUpstream, type Upstream, type UpstreamOptions } from '../../src/gateway/index.ts';
import type { UpstreamAnswer, UpstreamCall } from '../../src/gateway/upstream.ts';

export const MODEL = { name: 'm', ownName: 'up', contextTokens: 8_000, maxOutputTokens: null } as const;
/** All that a chat model can have. */
export const ALL_WORDS = ['chat', 'tools', 'forced_tool_choice', 'json_schema', 'logprobs', 'choices', 'seed', 'images', 'reasoning', 'logit_bias'];

export const makeUpstream = (baseUrl: string, more: Partial<UpstreamOptions> = {}): Upstream & Disposable =>
  createUpstream({ name: 'far', kind: 'openai', baseUrl, privacy: 'private', models: [{ ...MODEL, capabilities: ALL_WORDS }], ...more });

export const request = (more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  requestId: 'req',
  messages: [{ role: 'user', content: [{ kind: 'text', text: 'Hello' }] }],
  stop: [],
  sampling: GREEDY_SAMPLING,
  choices: 1,
  remote: { asked: [] },
  ...more,
});

export const call = (more: Partial<UpstreamCall> = {}): UpstreamCall => ({
  model: 'up',
  request: request(),
  stream: true,
  signal: new AbortController().signal,
  ...more,
});

/** A wire request as a route hands it over. */
export const raw = (api: NonNullable<UpstreamCall['raw']>['api'], path: string, text: string): Pick<UpstreamCall, 'raw'> => ({
  raw: { api, path, bytes: new TextEncoder().encode(text), body: JSON.parse(text) },
});

export interface Heard {
  readonly kind: UpstreamAnswer['kind'];
  readonly events: readonly GenerateEvent[];
  readonly text: string;
  readonly bytes: Buffer;
  /** Code of the fault behind the commit point. */
  readonly broken: string | null;
  readonly answer: UpstreamAnswer;
}

/** The whole answer of one attempt. */
export async function hear(upstream: Upstream, more: Partial<UpstreamCall> = {}): Promise<Heard> {
  const answer = await upstream.send(call(more));
  const events: GenerateEvent[] = [];
  const pieces: Uint8Array[] = [];
  let broken: string | null = null;
  try {
    if (answer.kind === 'events') for await (const event of answer.events) events.push(event);
    else for await (const piece of answer.body) pieces.push(piece);
  } catch (error) {
    broken = (error as { code: string }).code;
  }
  const last = events.at(-1);
  if (last?.kind === 'error') broken = last.code;
  const text = events.map((event) => (event.kind === 'text-delta' ? event.text : '')).join('');
  return { kind: answer.kind, events, text, bytes: Buffer.concat(pieces), broken, answer };
}
