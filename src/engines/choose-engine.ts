import type { FeatureVerdict, ModelFacts } from '../core/index.ts';
import type { Feature } from './port.ts';

/** One engine of the installation as the choice sees it. */
export interface EngineCandidate {
  readonly id: string;
  /** Whether it can run on this machine now, and why not. */
  readonly available: boolean;
  readonly unavailableReason?: string;
  readonly verdicts: Readonly<Record<Feature, FeatureVerdict>>;
}

export interface EngineQuestion {
  /** In the installation's order. */
  readonly candidates: readonly EngineCandidate[];
  readonly platform: { readonly os: string; readonly arch: string };
  readonly facts: Pick<ModelFacts, 'framework' | 'architecture' | 'config' | 'weightBytes'>;
  /** All of these are needed. */
  readonly needs: readonly Feature[];
  /** Engine that the command, the tier or the configuration names; null: automatic. */
  readonly wanted: string | null;
  /** Read bandwidth of the machine's memory, where it is known. */
  readonly readBytesPerSecond?: number;
}

export interface EngineChoice {
  /** null: none can. */
  readonly engine: string | null;
  readonly reason: string;
  readonly warning?: string;
}

/** Above this many active parameters a CPU is slow. */
const MANY_PARAMETERS = 4e9;
/** Part of the bandwidth that decoding reaches (docs/spec/engines.md §7, B2). */
const REACHED = 0.55;

/** The rules of docs/spec/engines.md §5, in their order. Pure. */
export function chooseEngineFor(question: EngineQuestion): EngineChoice {
  const { candidates, needs, wanted } = question;
  if (wanted !== null) {
    const named = candidates.find(({ id }) => id === wanted);
    const refusal = named === undefined ? `the engine ${wanted} is not installed` : refusalOf(named, needs);
    return refusal === null ? chosen(question, wanted, `${wanted} was asked for`) : { engine: null, reason: refusal };
  }
  // A foreign server answers only where it is named.
  const own = candidates.filter(({ id }) => id !== 'remote');
  const able = own.filter((candidate) => refusalOf(candidate, needs) === null);
  if (able.length === 0) {
    const ables = (candidate: EngineCandidate): number => needs.filter((feature) => candidate.verdicts[feature].ok).length;
    const best = [...own].sort((a, b) => ables(b) - ables(a) || Number(b.available) - Number(a.available))[0];
    return { engine: null, reason: best === undefined ? 'no engine is installed' : (refusalOf(best, needs) ?? '') };
  }
  const { id, why } = preference(question);
  if (able.some((candidate) => candidate.id === id)) return chosen(question, id, why);
  const only = able[0]!.id;
  return chosen(question, only, able.length === 1 ? `only ${only} can do it here` : `${only} is the first that can do it here`);
}

function preference({ platform, facts, needs }: EngineQuestion): { readonly id: string; readonly why: string } {
  if (needs.includes('vision') || needs.includes('audio')) return { id: 'mlx', why: 'images and audio are read by mlx' };
  if (needs.includes('embeddings') && facts.architecture === 'bert') return { id: 'ember', why: 'encoders run on ember' };
  const apple = platform.os === 'darwin' && platform.arch === 'arm64';
  if (facts.framework === 'GGUF') return { id: 'ember', why: 'GGUF files are read by ember' };
  return apple ? { id: 'mlx', why: 'mlx uses the GPU of Apple silicon' } : { id: 'ember', why: 'ember runs on every machine' };
}

function refusalOf({ id, available, unavailableReason, verdicts }: EngineCandidate, needs: readonly Feature[]): string | null {
  const cannot = needs.map((feature) => verdicts[feature]).find((verdict) => !verdict.ok);
  if (cannot !== undefined) return cannot.reason ?? `${id} cannot do that`;
  return available ? null : (unavailableReason ?? `the engine ${id} is not available`);
}

function chosen({ facts, readBytesPerSecond }: EngineQuestion, engine: string, reason: string): EngineChoice {
  const active = activeShare(facts.config);
  const parameters = (facts.weightBytes * 8 * active) / bitsOf(facts.config);
  if (engine !== 'ember' || parameters <= MANY_PARAMETERS) return { engine, reason };
  const speed = readBytesPerSecond === undefined ? null : (REACHED * readBytesPerSecond) / (facts.weightBytes * active);
  const expected =
    speed === null ? 'it will answer slowly' : `about ${speed >= 10 ? Math.round(speed) : speed.toFixed(1)} tokens per second are to be expected`;
  return { engine, reason, warning: `The model uses ${(parameters / 1e9).toFixed(1)} × 10^9 parameters for each token: on a CPU ${expected}.` };
}

/** Bits of one number with its share of scale and bias. */
function bitsOf(config: ModelFacts['config']): number {
  const block = config['quantization'] as { bits?: unknown; group_size?: unknown } | undefined;
  if (typeof block?.bits === 'number') return block.bits + 32 / (typeof block.group_size === 'number' ? block.group_size : 64);
  return (config['torch_dtype'] ?? config['dtype']) === 'float32' ? 32 : 16;
}

/** Part of the weights that one token reads: of experts only those that are chosen; a tenth of such a model is shared. */
function activeShare(config: ModelFacts['config']): number {
  const number = (...keys: string[]): number => keys.map((key) => config[key]).find((value): value is number => typeof value === 'number' && value > 0) ?? 0;
  const experts = number('num_local_experts', 'num_experts', 'n_routed_experts');
  const taken = number('num_experts_per_tok', 'experts_per_token');
  return experts === 0 || taken === 0 ? 1 : 0.1 + 0.9 * Math.min(1, taken / experts);
}
