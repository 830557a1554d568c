import type { GenerateRequest } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { modelAllowed } from '../../security/index.ts';
import type { Answer, AnswerCall, Requester, Target } from '../answer.ts';
import type { Gateway } from '../gateway.ts';
import type { NamedEntry } from '../routing/named-entries.ts';
import { tapped } from '../taps.ts';
import type { KeyLimits } from './key-limits.ts';

type Door = Pick<Gateway, 'sampling' | 'resolve' | 'target' | 'targetOf' | 'answer' | 'withSession' | 'stateOf' | 'list'>;

/** The gateway as one HTTP request may use it: the models of its key, within the limits of its key. */
export interface RequestGateway extends Door {
  readonly requester: Requester;
  /** Names of upstreams' models, routes and aliases that the requester may use. */
  named(): readonly NamedEntry[];
  /** The requester's own request, or any for `admin`. */
  cancel(requestId: string): boolean;
  /** Tokens that a session used, where no answer counts them. */
  charge(tokens: number): void;
  /** `x-ratelimit-*`, once something was asked for. */
  limitHeaders(): Readonly<Record<string, string>>;
  /** The request is over: settles what it used. */
  end(): void;
}

/** Characters that one token stands for, as far as anybody knows before tokenisation. */
const CHARACTERS_PER_TOKEN = 4;

export function createRequestGateway(
  gateway: Gateway,
  limits: KeyLimits,
  requester: Requester,
  origin: Pick<AnswerCall, 'wishes' | 'headers' | 'hops' | 'requestId'> = {},
): RequestGateway {
  const { models, maxTokens: cap } = requester.policy;
  const meter = limits.begin(requester);
  const accounts: Account[] = [];
  let charged = 0;

  function check<M extends { readonly id: string }>(model: M, name: string): M {
    if (modelAllowed(models, model.id) || models.includes(name)) return model;
    throw new HearthError('permission_denied', `This key may not use the model ${name}.`, { details: { param: 'model' } });
  }

  function capped(request: GenerateRequest, target: Target): GenerateRequest {
    if (cap === null) return request;
    return { ...request, maxTokens: Math.min(cap, request.maxTokens ?? Math.floor(target.capabilities.contextTokens / 2)) };
  }

  return {
    sampling: gateway.sampling,
    resolve: async (name, signal) => check(await gateway.resolve(name, signal), name),
    requester,
    target: (model) => gateway.target(model),
    targetOf: async (name, signal) => check(await gateway.targetOf(name, signal), name),
    named: () => gateway.routing.named().filter(({ id }) => modelAllowed(models, id)),
    stateOf: (model) => gateway.stateOf(model),
    list: async (signal) => (await gateway.list(signal)).filter(({ id }) => modelAllowed(models, id)),
    cancel: (requestId) => gateway.cancel(requestId, requester.policy.scopes.includes('admin') ? undefined : requester.id),

    async answer(call) {
      const account: Account = { prompt: 0, pieces: 0, answer: null };
      const answer = await gateway.answer({
        ...origin,
        ...call,
        requester,
        decode: (target) => capped(call.decode(check(target, call.name)), target),
        async admit(request, target) {
          // A body that goes on as it came was not decoded.
          check(target, call.name);
          await call.admit?.(request, target);
          account.prompt = estimatePromptTokens(request);
          const wanted = request.maxTokens ?? Math.floor(target.capabilities.contextTokens / 2);
          await meter.admit(account.prompt + wanted * request.choices);
          accounts.push(account);
        },
      });
      account.answer = answer;
      // Its other parts may be those of an answer below it.
      const events = tapped(answer.events, {
        onItem(event) {
          // An answer that was left before its count has used about a token for each piece of it.
          if (event.kind === 'text-delta' || event.kind === 'reasoning-delta' || event.kind === 'tool-delta') account.pieces += 1;
        },
      });
      return Object.create(answer, { events: { value: events, enumerable: true } }) as Answer;
    },

    async withSession(model, signal, use) {
      await meter.admit(0);
      return await gateway.withSession(model, signal, use);
    },

    charge(tokens) {
      charged += tokens;
    },
    limitHeaders: () => meter.headers(),
    end() {
      void meter.end(accounts.reduce((sum, account) => sum + tokensOf(account), charged)).catch(() => {});
    },
  };
}

/** What one answer used, as far as it is known. */
interface Account {
  prompt: number;
  pieces: number;
  answer: Answer | null;
}

function tokensOf({ answer, prompt, pieces }: Account): number {
  const usage = answer?.usage();
  return usage ? usage.promptTokens + usage.completionTokens : prompt + pieces;
}

/** How many tokens a prompt has, as long as nobody with its tokenizer has counted. */
export function estimatePromptTokens({ prompt, tokens, messages }: Pick<GenerateRequest, 'prompt' | 'tokens' | 'messages'>): number {
  if (tokens) return tokens.length;
  let characters = prompt?.length ?? 0;
  for (const { content } of messages ?? []) for (const part of content) characters += part.kind === 'text' ? part.text.length : 0;
  return Math.ceil(characters / CHARACTERS_PER_TOKEN);
}
