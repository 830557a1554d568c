import { type GenerateRequest, GREEDY_SAMPLING } from '../../contract/index.ts';
import { type Clock, HearthError, type Logger } from '../../core/index.ts';
import type { AnswerCall, Requester } from '../answer.ts';
import type { StateStore } from '../state-store.ts';
import type { Upstream, UpstreamUsage } from '../upstream.ts';
import { type SpendEntry, type SpendLedger, type SpendLimit, windowEndMs, windowStartMs } from './spend-ledger.ts';

export interface CloudSettings {
  readonly enabled: boolean;
  /** 0 = no cloud call. */
  readonly dailyCapUsd: number;
  readonly monthlyCapUsd: number;
}

export interface Reservation {
  /** Books what the answer cost; the first call counts. null: nothing was sent or answered. */
  settle(usage: UpstreamUsage | null, how: { readonly complete: boolean; readonly answered: boolean }): number;
}

/** New tokens that are set aside where a request names no limit. */
const UNLIMITED_TOKENS = 8_192;
const WINDOW_MS = { hour: 3_600_000, day: 86_400_000, month: 31 * 86_400_000 } as const;

export interface Budgets {
  /** Sets aside what the request may cost. Throws insufficient_quota with the time when the window ends, state_store_unavailable. */
  reserve(upstream: Upstream, asked: BudgetedRequest, cloud: CloudSettings): Promise<Reservation>;
  /** The error that `reserve` would throw now, as far as this machine knows. */
  peek(upstream: Upstream, asked: BudgetedRequest, cloud: CloudSettings): HearthError | null;
}

export interface BudgetedRequest {
  readonly model: string;
  readonly requester: Requester | undefined;
  readonly request: GenerateRequest;
}

export interface BudgetsOptions {
  readonly ledger: () => SpendLedger;
  readonly store: () => StateStore;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
}

export function createBudgets({ ledger, store, clock, logger }: BudgetsOptions): Budgets {
  /** The same sums, of all machines. */
  async function reserveShared(entry: SpendEntry, limits: readonly SpendLimit[], nowMs: number): Promise<SpendLimit | null> {
    const taken: string[] = [];
    const back = () => Promise.all(taken.map((key) => store().increment(key, -entry.amountUsd, WINDOW_MS.month)));
    for (const limit of limits) {
      const key = sharedKey(limit, nowMs);
      const sum = await store().increment(key, entry.amountUsd, WINDOW_MS[limit.window] * 2);
      taken.push(key);
      if (sum <= limit.capUsd + 1e-9) continue;
      await back();
      return limit;
    }
    return null;
  }

  function plan(upstream: Upstream, { model, request, requester }: BudgetedRequest, cloud: CloudSettings) {
    const price = upstream.pricePerMillionTokens;
    if (price === undefined) return null;
    const key = requester?.id ?? 'owner';
    const budget = requester?.policy.budgetUsd ?? null;
    const isCloud = upstream.privacy === 'cloud';
    const caps: SpendLimit[] = [
      { scope: 'cloud', window: 'day', capUsd: cloud.dailyCapUsd },
      { scope: 'cloud', window: 'month', capUsd: cloud.monthlyCapUsd },
    ];
    const limits: SpendLimit[] = [...(isCloud ? caps : []), ...(budget === null ? [] : [{ scope: { key }, window: budget.window, capUsd: budget.amount }])];
    const promptTokens = Math.ceil(promptBytes(request) / 3);
    const amountUsd = (promptTokens * price.input + request.choices * (request.maxTokens ?? UNLIMITED_TOKENS) * price.output) / 1e6;
    const entry: SpendEntry = { requestId: request.requestId, key, upstream: upstream.name, model, cloud: isCloud, amountUsd };
    return { price, limits, amountUsd, entry };
  }

  return {
    peek(upstream, asked, cloud) {
      const planned = plan(upstream, asked, cloud);
      const nowMs = clock.now();
      const over = planned?.limits.find(({ scope, window, capUsd }) => ledger().spentUsd(scope, window, nowMs) + planned.amountUsd > capUsd);
      return over ? budgetSpent(over, nowMs) : null;
    },

    async reserve(upstream, asked, cloud) {
      const planned = plan(upstream, asked, cloud);
      if (planned === null) return FREE;
      const { price, limits, amountUsd, entry } = planned;
      const nowMs = clock.now();
      const shared = store().shared;
      const over = shared ? await reserveShared(entry, limits, nowMs) : null;
      const reserved = over === null ? ledger().reserve(entry, shared ? [] : limits, nowMs) : { refused: over };
      if ('refused' in reserved) throw budgetSpent(reserved.refused, nowMs);
      return {
        settle(usage, { complete, answered }) {
          const cost = usage === null ? 0 : costUsd(price, usage);
          // Nobody knows what a stream that was cut has cost: what was set aside, unless it cost more.
          const booked = !answered ? 0 : complete && usage !== null ? cost : Math.max(cost, amountUsd);
          const difference = ledger().settle(reserved.id, booked, usage);
          if (difference === null) return 0;
          if (shared)
            for (const limit of limits)
              store()
                .increment(sharedKey(limit, nowMs), difference, WINDOW_MS[limit.window] * 2)
                .catch(() => logger.warning('a cost was not told to the shared state', { request_id: entry.requestId }));
          return booked;
        },
      };
    },
  };
}

const FREE: Reservation = { settle: () => 0 };

export const costUsd = (
  price: NonNullable<Upstream['pricePerMillionTokens']>,
  usage: Pick<UpstreamUsage, 'promptTokens' | 'cachedTokens' | 'completionTokens'>,
): number =>
  (Math.max(0, usage.promptTokens - usage.cachedTokens) * price.input + usage.cachedTokens * price.cached + usage.completionTokens * price.output) / 1e6;

/** A request that goes out without being decoded, as far as limits and budgets look at it. */
export function asItCame({ raw, requestId = '' }: Pick<AnswerCall, 'raw' | 'requestId'>): GenerateRequest {
  const limit = ['max_completion_tokens', 'max_output_tokens', 'max_tokens'].map((field) => raw?.body[field]).find((value) => typeof value === 'number');
  const choices = raw?.body['n'];
  return {
    requestId,
    prompt: raw === undefined ? '' : new TextDecoder().decode(raw.bytes),
    stop: [],
    sampling: GREEDY_SAMPLING,
    choices: typeof choices === 'number' ? choices : 1,
    ...(typeof limit === 'number' ? { maxTokens: limit } : {}),
  };
}

/** Bytes of the texts of a prompt. Media count as nothing: what they cost is known only afterwards. */
function promptBytes(request: GenerateRequest): number {
  if (request.prompt !== undefined) return Buffer.byteLength(request.prompt);
  if (request.tokens !== undefined) return request.tokens.length * 3;
  let bytes = Buffer.byteLength(JSON.stringify(request.tools?.definitions ?? ''));
  for (const { content, toolCalls } of request.messages ?? []) {
    for (const part of content) if (part.kind === 'text') bytes += Buffer.byteLength(part.text) + 12;
    for (const call of toolCalls ?? []) bytes += Buffer.byteLength(call.arguments) + Buffer.byteLength(call.name);
  }
  return bytes;
}

const sharedKey = ({ scope, window }: SpendLimit, nowMs: number): string =>
  `spend:${scope === 'cloud' ? 'cloud' : `key:${scope.key}`}:${window}:${windowStartMs(window, nowMs)}`;

function budgetSpent({ scope, window, capUsd }: SpendLimit, nowMs: number): HearthError {
  const whose = scope === 'cloud' ? 'The cloud budget' : 'The budget of this key';
  const retryAfterS = Math.ceil((windowEndMs(window, nowMs) - nowMs) / 1000);
  return new HearthError('insufficient_quota', `${whose} of ${capUsd} US dollars for one ${window} does not cover this request.`, {
    details: { retryAfterS, noRetry: true, reason: scope === 'cloud' ? 'spend_cap' : 'key_budget' },
  });
}
