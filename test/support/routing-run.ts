import { DEFAULT_KEY_POLICY, GREEDY_SAMPLING, type KeyPolicy } from '../../src/contract/index.ts';
import { HearthError, silentLogger } from '../../src/core/index.ts';
import type { Answer, AnswerCall } from '../../src/gateway/answer.ts';
import type { ResolvedModel } from '../../src/gateway/model-source.ts';
import { createRouting, type Routing, type RoutingOptions } from '../../src/gateway/routing/create-routing.ts';
import { type FakeUpstream, fakeUpstream, fault, textAnswer } from './fake-upstream.ts';

/** A clock that stands until it is told to go; waits of the router are real and short. */
export function clockAt(startMs: number) {
  const clock = { ms: startMs, now: () => clock.ms, monotonic: () => clock.ms };
  return clock;
}

export interface Setup extends Partial<Omit<RoutingOptions, 'upstreams'>> {
  readonly clock?: { now(): number; monotonic(): number };
  /** Ids of local models. */
  readonly models?: readonly string[];
}

export function routingOf(
  upstreams: readonly FakeUpstream[],
  { clock = { now: Date.now, monotonic: () => performance.now() }, models = [], ...options }: Setup = {},
) {
  const events: Record<string, unknown>[] = [];
  const answered: string[] = [];
  const routing = createRouting(
    { probeIntervalMs: null, random: () => 0.5, ...options, upstreams },
    {
      clock,
      logger: silentLogger,
      events: { emit: (event) => void events.push(event) },
      queueWaitMs: 1000,
      local: {
        async resolve(name) {
          const id = models.find((each) => each === name || each.endsWith(`/${name}`));
          if (id === undefined) throw new HearthError('model_not_found', `There is no model ${name} here.`);
          return { id, hash: null, facts: {} as ResolvedModel['facts'] };
        },
        target: async (model) => ({ ...fakeUpstream({ name: 'ember' }).targetOf(model.id), id: model.id, model }),
        view: () => ({ loaded: true, inFlight: 0, queued: 0 }),
        async answer(target) {
          answered.push(target.id);
          if (target.id.includes('crash')) throw new HearthError('engine_crashed', 'The engine ended.');
          const { source, ...rest } = textAnswer('ember', target.id);
          return {
            ...rest,
            source: { ...source, model: target.id },
            attempts: [{ upstream: 'ember', outcome: 'ok' }],
            timings: () => ZERO,
          } as unknown as Answer;
        },
        open: (_, { signal }) => ({ signal, close() {} }),
      },
    },
  );
  return { routing, events, answered };
}

const ZERO = { loadMs: 0, queueMs: 0, prefillMs: 0, decodeMs: 0, firstTokenMs: 0 };

export const callOf = (name: string, more: Partial<AnswerCall> = {}): AnswerCall => ({
  name,
  stream: true,
  signal: new AbortController().signal,
  decode: () => ({
    requestId: 'req_1',
    messages: [{ role: 'user', content: [{ kind: 'text', text: 'hi' }] }],
    stop: [],
    sampling: GREEDY_SAMPLING,
    choices: 1,
    maxTokens: 100,
  }),
  ...more,
});

export async function read(answer: Answer): Promise<string> {
  let text = '';
  for await (const event of answer.events) {
    if (event.kind === 'text-delta') text += event.text;
    if (event.kind === 'error') text += `!${event.code}`;
  }
  return text;
}

export const ask = async (routing: Routing, name: string, more: Partial<AnswerCall> = {}): Promise<{ text: string; answer: Answer }> => {
  const answer = await routing.answer(callOf(name, more));
  return { answer, text: await read(answer) };
};
export const failure = (routing: Routing, name: string, more: Partial<AnswerCall> = {}): Promise<HearthError> =>
  routing.answer(callOf(name, more)).then(
    () => {
      throw new Error('it answered');
    },
    (error: unknown) => error as HearthError,
  );
export const keyOf = (policy: Partial<KeyPolicy>) => ({ requester: { id: 'abcdefghijkl', policy: { ...DEFAULT_KEY_POLICY, ...policy } } });
export const failing = (name: string, ...statuses: (number | 'connect' | 'timeout')[]): FakeUpstream =>
  fakeUpstream({
    name,
    respond(_, index) {
      const status = statuses[Math.min(index, statuses.length - 1)]!;
      if (status === 200) return textAnswer(name, 'm');
      throw fault(status);
    },
  });
export const twoLevels = (balance: 'weighted' | 'least-busy' | 'prefix-affine' = 'weighted') => ({
  routes: { fast: { levels: [['a/m'], ['b/m']], balance, fallback: true } },
});
