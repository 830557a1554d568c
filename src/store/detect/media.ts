import { isObject } from '../health/json-value.ts';
import type { ModelView } from '../model-view.ts';

/** Which media a model declares to take (docs/spec/store.md §5), from files and config alone. */

type Config = Readonly<Record<string, unknown>>;

export const VISION_TYPES: ReadonlySet<string> = new Set(['llava', 'llava_next', 'pixtral', 'qwen2_vl', 'phi3_v', 'mllama', 'paligemma', 'idefics', 'smolvlm']);
const PROCESSOR_FILE = /(?:^|\/)(?:preprocessor_config|processor_config|image_processor_config)\.json$/;

const filled = (value: unknown): boolean => isObject(value) && Object.keys(value).length > 0;

export const modelTypeOf = (config: Config): string => (typeof config['model_type'] === 'string' ? config['model_type'] : '');

export async function declaresVision(view: ModelView, config: Config): Promise<boolean> {
  if (filled(config['vision_config']) || VISION_TYPES.has(modelTypeOf(config)) || isObject(config['image_processor'])) return true;
  const embedded = config['preprocessor_config'];
  if (isObject(embedded) && !isVideoProcessor(embedded)) return true;
  if (!view.files.some((file) => PROCESSOR_FILE.test(file.path))) return false;
  if (view.files.some((file) => /(?:^|\/)video_preprocessor_config\.json$/.test(file.path))) return false;
  const preprocessor = await preprocessorOf(view);
  return preprocessor === null || !(isVideoProcessor(preprocessor) || Object.hasOwn(preprocessor, 'temporal_patch_size'));
}

const isVideoProcessor = (processor: Config): boolean => JSON.stringify(processor).includes('AutoVideoProcessor');

async function preprocessorOf(view: ModelView): Promise<Config | null> {
  const file = view.files.find((candidate) => /(?:^|\/)preprocessor_config\.json$/.test(candidate.path));
  const json = file === undefined ? null : await view.json(file.path);
  return json?.kind === 'value' && isObject(json.value) ? json.value : null;
}

export type AudioRoute = 'stt' | 'vlm';

/** null: no audio. `stt`: a speech model; `vlm`: a language model that also hears. */
export async function audioRoute(view: ModelView, config: Config, nameHint: string): Promise<AudioRoute | null> {
  const signal = await audioSignal(view, config);
  if (!signal) return null;
  const type = modelTypeOf(config);
  if (type === 'voxtral') return 'stt';
  const audioConfig = filled(config['audio_config']);
  if (audioConfig && filled(config['vision_config'])) return 'vlm';
  if (/whisper|vibevoice/.test(type) || (await hasWhisperExtractor(view))) return 'stt';
  if (/whisper|voxtral|vibevoice/i.test(nameHint)) return 'stt';
  return 'vlm';
}

async function audioSignal(view: ModelView, config: Config): Promise<boolean> {
  return filled(config['audio_config']) || /gemma3n|voxtral|whisper|vibevoice|audio/.test(modelTypeOf(config)) || (await hasWhisperExtractor(view));
}

async function hasWhisperExtractor(view: ModelView): Promise<boolean> {
  const extractor = (await preprocessorOf(view))?.['feature_extractor_type'];
  return typeof extractor === 'string' && /whisper/i.test(extractor);
}

/** Whisper models that were trained to translate into English. */
export function translatesToEnglish(config: Config, nameHint: string): boolean {
  if (modelTypeOf(config) !== 'whisper') return false;
  return !/whisper-(tiny|base|small|medium)\.en([-_./]|$)/i.test(nameHint) && !/whisper-[a-z0-9.-]*turbo([-_./]|$)/i.test(nameHint);
}
