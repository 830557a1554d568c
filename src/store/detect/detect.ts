import type { ModelFacts } from '../../core/index.ts';
import { isObject } from '../health/json-value.ts';
import { weightFilesOf } from '../health/weight-files.ts';
import type { ModelView } from '../model-view.ts';
import { chatTemplateOf, toolParserOf } from './chat-template.ts';
import { detectFramework, type Framework } from './framework.ts';
import { type AudioRoute, audioRoute, declaresVision, modelTypeOf, translatesToEnglish, VISION_TYPES } from './media.ts';
import { type GgufSummary, summariseGguf } from './weight-headers.ts';

export type ModelType = 'chat' | 'base' | 'embedding' | 'audio';
export type Embedder = 'decoder' | 'encoder' | 'declared';

/** What the files say about a model, before any engine is asked (docs/spec/store.md §5). */
export interface Detection {
  readonly framework: Framework;
  readonly modelType: ModelType;
  readonly capabilities: readonly string[];
  readonly embedder: Embedder | null;
  readonly audio: AudioRoute | null;
  readonly vision: boolean;
  readonly facts: ModelFacts;
}

/** Facts are kept for many models: a longer template, which none needs, is not carried with them. */
const MOST_TEMPLATE = 1024 * 1024;

/** `nameHint`: the repository; for a workspace its origin, else its basename; so that a snapshot and its clone get one answer. */
export async function detectModel(view: ModelView, nameHint: string): Promise<Detection> {
  const framework = await detectFramework(view, nameHint);
  const json = await view.json('config.json');
  // A projector is no model of its own.
  const weights = weightFilesOf(view).filter((file) => !/(?:^|\/)mmproj[^/]*\.gguf$/.test(file.path));
  const firstGguf = weights.find((file) => file.path.endsWith('.gguf'));
  const gguf = framework === 'GGUF' && firstGguf !== undefined ? await summariseGguf(firstGguf) : null;
  const config = json.kind === 'value' && isObject(json.value) ? json.value : (gguf?.config ?? {});
  const template = await chatTemplateOf(view, gguf);
  const embedder = embedderOf(config, nameHint, gguf);
  const audio = await audioRoute(view, config, nameHint);
  const vision = await declaresVision(view, config);
  const modelType = modelTypeFor({ config, nameHint, embedder, template: template !== null });
  return {
    framework,
    modelType,
    capabilities: capabilitiesOf(modelType, { vision, audio: audio !== null, translate: translatesToEnglish(config, nameHint) }),
    embedder,
    audio,
    vision,
    facts: {
      directory: view.directory,
      framework,
      architecture: modelTypeOf(config) || null,
      config,
      weightFiles: weights.map((file) => file.path),
      weightBytes: weights.reduce((sum, file) => sum + file.sizeBytes, 0),
      hasChatTemplate: template !== null,
      ...(template === null || template.length > MOST_TEMPLATE ? {} : { chatTemplate: { source: template, toolParser: await toolParserOf(view) } }),
    },
  };
}

const ENCODERS: ReadonlySet<string> = new Set(['xlm-roberta', 'modernbert', 'nomic_bert']);

function embedderOf(config: Readonly<Record<string, unknown>>, nameHint: string, gguf: GgufSummary | null): Embedder | null {
  if (gguf !== null && (gguf.pooling || /bert/.test(gguf.architecture))) return /bert/.test(gguf.architecture) ? 'encoder' : 'decoder';
  const type = modelTypeOf(config);
  const architectures = Array.isArray(config['architectures']) ? config['architectures'] : [];
  const causal = architectures.some((name) => typeof name === 'string' && name.includes('ForCausalLM')) || type === 'qwen3' || type === 'mistral';
  if (causal && /embed/i.test(nameHint)) return 'decoder';
  if (type === 'bert') return 'encoder';
  return ENCODERS.has(type) ? 'declared' : null;
}

function modelTypeFor(input: {
  readonly config: Readonly<Record<string, unknown>>;
  readonly nameHint: string;
  readonly embedder: Embedder | null;
  readonly template: boolean;
}): ModelType {
  const type = modelTypeOf(input.config);
  if (input.embedder !== null) return 'embedding';
  if (type === 'chat' || VISION_TYPES.has(type)) return 'chat';
  if (/whisper|vibevoice|voxtral/.test(type)) return 'audio';
  if (input.template || /instruct|chat/i.test(input.nameHint)) return 'chat';
  return 'base';
}

function capabilitiesOf(type: ModelType, media: { readonly vision: boolean; readonly audio: boolean; readonly translate: boolean }): string[] {
  if (type === 'embedding') return ['embeddings'];
  if (type === 'audio') return media.translate ? ['audio', 'audio-translate-en'] : ['audio'];
  const capabilities = ['text-generation'];
  if (type === 'chat') capabilities.push('chat');
  if (media.vision) capabilities.push('vision');
  if (media.audio) capabilities.push('audio');
  return capabilities;
}
