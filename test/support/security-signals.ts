import type { AnswerObservation, RequestEndEvent } from '../../src/contract/index.ts';
import type { PromptFacts, Signal } from '../../src/security/detect/signal.ts';
import { randomNumbers } from './random-numbers.ts';

/** Signals of a server that nobody attacks, for tests of rules: the same ones for the same seed. */
export interface TimedSignal {
  readonly monoMs: number;
  readonly nowMs: number;
  readonly signal: Signal;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2027, 0, 4, 6);
/** At night the machine sleeps: its clock goes on, the one of its work does not. */
const SLEEP_MS = 20 * MINUTE_MS;

type Random = () => number;

const normal = (random: Random): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

export interface AnswerFacts {
  readonly model?: string;
  readonly prefillMs?: number;
  readonly tokensPerS?: number;
  readonly promptTokens?: number;
  readonly completionTokens?: number;
}

export function requestSignal(facts: Partial<RequestEndEvent> & { readonly answer?: AnswerFacts } = {}): Signal {
  const { answer, ...rest } = facts;
  const event: RequestEndEvent = {
    kind: 'request-end',
    requestId: 'req_1',
    clientRequestId: null,
    traceId: '0'.repeat(32),
    spanId: '0'.repeat(16),
    parentSpanId: null,
    sampled: false,
    method: 'POST',
    route: '/v1/chat/completions',
    path: '/v1/chat/completions',
    scope: 'inference',
    keyId: 'keyofsomeone',
    remoteAddress: '127.0.0.1',
    origin: null,
    refusedScope: null,
    status: 200,
    outcome: 'ok',
    code: null,
    model: answer?.model ?? null,
    upstream: null,
    startedAtMs: 0,
    durationMs: 1_000,
    answers: answer === undefined ? [] : [answerOf(answer)],
    ...rest,
  };
  return { kind: 'request', event };
}

function answerOf({ model = 'org/model', prefillMs = 100, tokensPerS = 40, promptTokens = 300, completionTokens = 100 }: AnswerFacts): AnswerObservation {
  return {
    model,
    upstream: 'local',
    responseId: 'req_1',
    startMs: 1,
    endMs: 1_000,
    attempts: [],
    timings: { loadMs: 0, queueMs: 0, prefillMs, decodeMs: (completionTokens * 1000) / tokensPerS, firstTokenMs: prefillMs },
    usage: { promptTokens, cachedTokens: 0, completionTokens, reasoningTokens: 0 },
    pieces: { text: completionTokens, reasoning: 0, tool: 0 },
    gapsMs: [],
    finishReasons: ['stop'],
    request: null,
  };
}

export const lineSignal = (line: Partial<Extract<Signal, { kind: 'line' }>['line']> & Pick<Extract<Signal, { kind: 'line' }>['line'], 'event'>): Signal => ({
  kind: 'line',
  line: { severity: 'info', reason: null, model: null, actor: null, details: null, ...line },
});

export const promptSignal = (facts: Partial<PromptFacts> = {}): Signal => ({
  kind: 'prompt',
  facts: { caller: 'keyofsomeone', requestId: 'req_1', model: 'org/model', score: 0, signs: [], hidden: [], encodedCharacters: 0, ...facts },
});

/** A day of three callers and two models, with what goes wrong on good days: typing errors, a wrong key, a crash, refused tools, a full queue. */
export function cleanDay(seed: number, hours = 24): TimedSignal[] {
  const random = randomNumbers(seed);
  const signals: { monoMs: number; signal: Signal }[] = [];
  const add = (monoMs: number, signal: Signal) => signals.push({ monoMs, signal });
  const end = hours * HOUR_MS;
  const spread = (every: number, make: (monoMs: number) => void) => {
    for (let at = random() * every; at < end; at += every * (0.5 + random())) make(at);
  };

  for (let at = 0; at < end; at += 30_000) add(at, { kind: 'tick', uptimeMs: 0 });
  for (let at = 0; at < end; at += 300_000) add(at, lineSignal({ event: 'audit.checkpoint' }));
  for (let at = 0; at < end; at += 10_000)
    add(at, { kind: 'memory', model: 'org/model', usedBytes: 4e9 + 1e8 * random() + 4e8 * Math.sin(at / 3e6) ** 2, limitBytes: 6e9 });
  spread(24 * HOUR_MS, (at) => add(at, { kind: 'verified', ok: true, fault: null }));
  spread(2 * HOUR_MS, (at) => add(at, lineSignal({ event: 'model.load', model: { id: 'org/model' } })));
  spread(3 * HOUR_MS, (at) => add(at, lineSignal({ event: 'model.verify.ok', model: { id: 'org/model' }, details: { source: 'hub', firstUse: false } })));
  spread(2 * HOUR_MS, (at) => add(at, lineSignal({ event: 'auth.fail', severity: 'low', actor: { ip: '192.0.2.7' }, reason: 'invalid_api_key' })));
  spread(4 * HOUR_MS, (at) => add(at, lineSignal({ event: 'engine.crashed', model: { id: 'org/model' }, reason: 'crash' })));
  spread(3 * HOUR_MS, (at) => add(at, lineSignal({ event: 'tool.deny', actor: { key: 'keyofsomeone' } })));
  spread(HOUR_MS, (at) => add(at, lineSignal({ event: 'limit.hit', reason: 'queue_full' })));
  spread(HOUR_MS, (at) => add(at, { kind: 'pressure', level: random() < 0.3 ? 'soft' : 'normal', reason: '' }));
  spread(6 * HOUR_MS, (at) => add(at, lineSignal({ event: 'listener.open', details: { addresses: ['http://127.0.0.1:4000'], exposed: false } })));
  for (const [index, keyId] of ['keyofalice01', 'keyofbob0002', 'local'].entries()) {
    const model = index === 1 ? 'org/other' : 'org/model';
    const everyMs = [20_000, 45_000, 150_000][index]!;
    spread(everyMs, (at) => {
      const address = `192.0.2.${index + 1}`;
      const failed = random();
      if (failed < 0.04) {
        const status = failed < 0.01 ? 404 : 400;
        add(at, requestSignal({ keyId, remoteAddress: address, status, outcome: 'client_error', path: `/v1/nothing/${Math.floor(random() * 4)}` }));
        return;
      }
      const promptTokens = Math.round(400 * Math.exp(0.5 * normal(random)));
      const completionTokens = Math.max(4, Math.round(120 * Math.exp(0.5 * normal(random))));
      const prefillMs = (promptTokens / 2) * Math.exp(0.15 * normal(random));
      const tokensPerS = 40 * Math.exp(0.1 * normal(random));
      const odd = random();
      add(
        at,
        promptSignal({
          caller: keyId,
          score: odd < 0.03 ? 3 : odd < 0.06 ? 2 : 0,
          hidden: odd > 0.997 ? ['zero-width'] : [],
          encodedCharacters: odd > 0.9 ? 900 : 0,
        }),
      );
      const outcome = failed > 0.998 ? 'engine_error' : 'ok';
      add(
        at + 5_000,
        requestSignal({ keyId, remoteAddress: address, model, status: 200, outcome, answer: { model, prefillMs, tokensPerS, promptTokens, completionTokens } }),
      );
    });
  }
  signals.sort((a, b) => a.monoMs - b.monoMs);
  // Half way, the machine sleeps.
  return signals.map(({ monoMs, signal }) => {
    const nowMs = START_MS + monoMs + (monoMs > end / 2 ? SLEEP_MS : 0);
    return { monoMs, nowMs, signal: signal.kind === 'tick' ? { ...signal, uptimeMs: nowMs - START_MS } : signal };
  });
}
