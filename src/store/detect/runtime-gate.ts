import type { FeatureVerdict, RuntimeProbe } from '../../core/index.ts';
import type { HealthVerdict } from '../health/check-health.ts';
import { hasGgufHead } from '../health/check-health.ts';
import type { ModelView } from '../model-view.ts';
import type { Detection } from './detect.ts';
import { loadableSafetensors } from './weight-headers.ts';

/** Which declared features an installed engine reaches, and the first reason against when none is (docs/spec/store.md §5). */
export interface RuntimeVerdict {
  readonly compatible: boolean;
  readonly reason: string | null;
  readonly reachable: Readonly<Record<string, FeatureVerdict>>;
}

export async function judgeRuntime(input: {
  readonly view: ModelView;
  readonly detection: Detection;
  readonly health: HealthVerdict;
  readonly probe: RuntimeProbe;
}): Promise<RuntimeVerdict> {
  const { detection } = input;
  const declared = declaredFeatures(detection);
  const blocked = input.health.healthy ? ((await frameworkReason(input.view, detection)) ?? typeReason(detection)) : input.health.reason;
  const answers = blocked === null ? await input.probe(detection.facts) : {};
  const reachable: Record<string, FeatureVerdict> = {};
  for (const feature of declared) {
    const answer = answers[feature] ?? { ok: false, engine: null, reason: null };
    reachable[feature] = answer.ok ? answer : { ...answer, ok: false, reason: blocked ?? answer.reason ?? unsupported(detection) };
  }
  const compatible = Object.values(reachable).some((verdict) => verdict.ok);
  return { compatible, reason: compatible ? null : (blocked ?? firstReason(reachable) ?? unsupported(detection)), reachable };
}

function declaredFeatures(detection: Detection): string[] {
  const has = (capability: string): boolean => detection.capabilities.includes(capability);
  return [
    ...(has('audio') ? ['audio'] : []),
    ...(has('vision') ? ['vision'] : []),
    ...(has('embeddings') ? ['embeddings'] : []),
    ...(has('text-generation') ? ['text'] : []),
    ...(has('chat') ? ['chat'] : []),
  ];
}

/** The text gate decides for models that also take media: its reason is what the user can act upon. */
const firstReason = (reachable: Readonly<Record<string, FeatureVerdict>>): string | null => (reachable['text'] ?? Object.values(reachable)[0])?.reason ?? null;

const unsupported = (detection: Detection): string => `model_type '${detection.facts.architecture ?? 'unknown'}' not supported by any installed engine`;

async function frameworkReason(view: ModelView, detection: Detection): Promise<string | null> {
  const reason = `Incompatible framework: ${detection.framework}`;
  if (detection.framework === 'MLX') return null;
  if (detection.framework === 'GGUF') {
    const files = detection.facts.weightFiles.filter((path) => path.endsWith('.gguf'));
    for (const path of files) if (!(await hasGgufHead(view, path))) return reason;
    return files.length > 0 ? null : reason;
  }
  if (detection.framework === 'PyTorch') return (await loadableSafetensors(view, detection.facts.weightFiles, detection.facts.config)) ? null : reason;
  return reason;
}

const LEGACY = /(?:^|\/)(?:weights\.\d+\.safetensors|pytorch_model-\d+\.safetensors)$/;
const MODERN = /(?:^|\/)model(?:-\d{5}-of-\d{5})?\.safetensors$/;
const SPEECH_TYPES = /whisper|vibevoice/;

/** What the files alone rule out, for any engine. */
function typeReason(detection: Detection): string | null {
  const type = detection.facts.architecture;
  if (detection.audio === 'stt' && detection.modelType === 'audio') {
    return SPEECH_TYPES.test(type ?? '') ? null : `Model type '${type}' not supported (supported: whisper, vibevoice)`;
  }
  if (detection.embedder === 'declared') return `Embedding encoder not supported: ${type}`;
  if (detection.embedder !== null) return null;
  const files = detection.facts.weightFiles;
  if (files.some((path) => LEGACY.test(path)) && !files.some((path) => MODERN.test(path))) return 'Legacy format not supported by mlx-lm';
  return type === null ? 'config.json missing model_type field' : null;
}
