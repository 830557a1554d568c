import { isJsonObject } from '../../core/index.ts';
import { peerCapabilities } from './capabilities.ts';
import type { Remote } from './create-remote.ts';
import { UpstreamFault } from './fault.ts';
import type { RemoteModel } from './remote-options.ts';

/** What a server says of itself now (docs/spec/serving.md §8). */
export interface RemoteHealth {
  readonly state: 'starting' | 'ready' | 'busy' | 'draining' | 'dead';
  /** Why it is not ready. */
  readonly reason?: string;
  /** Names that its model list gives now; null where it has no list. */
  readonly models: readonly string[] | null;
  /** Requests that it says it works on, and that wait in it; null where it does not say. */
  readonly running: number | null;
  readonly waiting: number | null;
  /** Share of its KV cache that is in use, 0 … 1; null where it does not say. */
  readonly kvUsage: number | null;
}

const UNKNOWN = { models: null, running: null, waiting: null, kvUsage: null };

/** GET /health, else /v1/models; load from /metrics where that exists. Never throws but for the signal. */
export async function probeRemote(remote: Remote, signal: AbortSignal): Promise<RemoteHealth> {
  const [health, list, load] = await Promise.all([
    settle(remote.fetch('/health', { signal })),
    settle(remote.fetch('/v1/models', { signal })),
    settle(remote.fetch('/metrics', { signal })),
  ]);
  signal.throwIfAborted();
  // 404 or the like on /health alone says only that there is no such path.
  const said = health.ok ? stateOf(health.text) : stateOfFault(health.fault);
  const state = said === 'dead' && list.ok ? 'ready' : said;
  const models = list.ok ? namesOf(list.text) : null;
  const fault = health.ok || list.ok ? null : health.fault;
  const numbers = load.ok ? readLoad(load.text) : UNKNOWN;
  return {
    ...UNKNOWN,
    state: state === 'ready' && (numbers.waiting ?? 0) > 0 ? 'busy' : state,
    ...(fault === null ? {} : { reason: fault instanceof Error ? fault.message : String(fault) }),
    models,
    running: numbers.running,
    waiting: numbers.waiting,
    kvUsage: numbers.kvUsage,
  };
}

type Settled = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly fault: unknown };

const settle = (answer: Promise<{ readonly text: string }>): Promise<Settled> =>
  answer.then(
    ({ text }): Settled => ({ ok: true, text }),
    (fault: unknown): Settled => ({ ok: false, fault }),
  );

/** `draining` of another hearth comes with 503, as `loading` of others does. */
function stateOf(text: string): RemoteHealth['state'] {
  const status = field(text, 'status');
  if (status === 'draining') return 'draining';
  return typeof status === 'string' && /loading|starting/.test(status) ? 'starting' : 'ready';
}

function stateOfFault(fault: unknown): RemoteHealth['state'] {
  if (!(fault instanceof UpstreamFault) || fault.status !== 503) return 'dead';
  return /drain/.test(fault.message) ? 'draining' : 'starting';
}

function field(text: string, name: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value[name] : undefined;
  } catch {
    return undefined;
  }
}

function namesOf(text: string): readonly string[] | null {
  const data = field(text, 'data');
  return Array.isArray(data) ? data.filter(isJsonObject).flatMap(({ id }) => (typeof id === 'string' ? [id] : [])) : null;
}

/** Gauges of vLLM, SGLang and hearth, by what they measure. */
const GAUGES = {
  running: ['vllm:num_requests_running', 'sglang:num_running_reqs', 'hearth_requests_running'],
  waiting: ['vllm:num_requests_waiting', 'sglang:num_queue_reqs', 'hearth_requests_waiting'],
  kvUsage: ['vllm:kv_cache_usage_perc', 'vllm:gpu_cache_usage_perc', 'sglang:token_usage', 'hearth_kv_cache_usage_ratio'],
} as const;

/** Sums over the labels of counts, the largest of shares (Prometheus text format). */
export function readLoad(metrics: string): Pick<RemoteHealth, 'running' | 'waiting' | 'kvUsage'> {
  const values = new Map<string, number[]>();
  for (const line of metrics.split('\n')) {
    const match = /^([A-Za-z_:][\w:]*)(?:\{[^}]*\})?\s+(\S+)/.exec(line);
    const value = Number(match?.[2] ?? Number.NaN);
    if (match && Number.isFinite(value)) values.set(match[1]!, [...(values.get(match[1]!) ?? []), value]);
  }
  const of = (names: readonly string[]) => names.map((name) => values.get(name)).find((found) => found !== undefined);
  const sum = (found: readonly number[] | undefined) => (found === undefined ? null : found.reduce((total, value) => total + value, 0));
  const shares = of(GAUGES.kvUsage);
  return { running: sum(of(GAUGES.running)), waiting: sum(of(GAUGES.waiting)), kvUsage: shares === undefined ? null : Math.max(...shares) };
}

/** The models of another server, of another hearth its own alone, not those that it gets from others again. vLLM tells a context too. Throws UpstreamFault. */
export async function listPeerModels(remote: Remote, signal: AbortSignal): Promise<readonly RemoteModel[]> {
  const { text } = await remote.fetch('/v1/models', { signal });
  const data = field(text, 'data');
  if (!Array.isArray(data)) return [];
  return data.filter(isJsonObject).flatMap((item): RemoteModel[] => {
    const { id, capabilities, hearth } = item;
    const context = item['context_length'] ?? item['max_model_len'];
    if (typeof id !== 'string' || (isJsonObject(hearth) && hearth['local'] === false)) return [];
    const words = Array.isArray(capabilities) ? capabilities.filter((word): word is string => typeof word === 'string') : [];
    return [
      { name: id, ownName: id, capabilities: peerCapabilities(words), contextTokens: typeof context === 'number' ? context : null, maxOutputTokens: null },
    ];
  });
}
