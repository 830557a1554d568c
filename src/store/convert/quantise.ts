import { join } from 'node:path';
import { HearthError, writeFileAtomic } from '../../core/index.ts';
import { rewriteCheckpoint } from '../../formats/index.ts';
import type { ConvertJob, ConvertOutcome } from '../convert.ts';
import { isObject } from '../health/json-value.ts';
import { openModelView } from '../model-view.ts';
import { pinWorkspace } from '../workspace/pin-workspace.ts';
import { modelCard } from './model-card.ts';

/** Types with pictures that a managed environment quantises; others with towers were never verified. */
const VISION_TYPES = ['llava', 'pixtral', 'qwen2_vl', 'idefics2', 'idefics3', 'mllama', 'mistral3', 'gemma3', 'mimo', 'gemma4'];
const SPEECH = /whisper|vibevoice|voxtral/;

/** `--quantize N`: plain or already quantised weights become N bits by MLX's rule, with the modules that mlx-lm's convert chooses. */
export async function quantiseModel({ options, source, target, parameters, signal, origin }: ConvertJob): Promise<ConvertOutcome> {
  const bits = parameters.quantize!;
  const group = parameters.groupSize ?? 64;
  const view = await openModelView({ directory: source, root: source });
  const config = await view.json('config.json');
  if (config.kind !== 'value' || !isObject(config.value))
    throw new HearthError('conversion_failed', `${source} is no model that can be quantised: it has no readable config.json.`);
  refuseByType(config.value);
  const before = isObject(config.value['quantization']) ? config.value['quantization']['bits'] : null;
  const warning = typeof before === 'number' && bits > before ? `Source already ${before}-bit. Quantizing to ${bits}-bit does not increase precision.` : null;
  if (warning !== null) parameters.onNotice?.(`Warning: ${warning}`);
  let contentHash: string | null = null;
  const report = await rewriteCheckpoint(source, target, {
    quantize: bits,
    group,
    publish: true,
    signal,
    onProgress: ({ doneBytes, totalBytes }) => parameters.onProgress?.({ step: 'convert', doneBytes, totalBytes }),
    finish: async (directory) => {
      await writeFileAtomic(join(directory, 'README.md'), modelCard(await view.text('README.md'), { ...origin, bits, group }), 0o600);
      contentHash = await pinWorkspace(options, directory, { ...origin, operation: 'convert', mode: 'quantize', quantization: { bits, group_size: group } });
    },
  });
  return {
    made: true,
    message: `${target} holds ${report.quantised?.modules ?? 0} modules of ${bits} bits, in groups of ${group}.`,
    warning,
    bits,
    group_size: group,
    content_hash: contentHash,
  };
}

/** Before any file effect. Errors: dependency_missing, not_implemented, unsupported_multimodal. */
function refuseByType(config: Readonly<Record<string, unknown>>): void {
  const type = String(config['model_type'] ?? '');
  if (VISION_TYPES.includes(type))
    throw new HearthError(
      'dependency_missing',
      `Models of type ${type} are quantised by mlx-vlm in the managed environment, which this version does not have yet.`,
    );
  if (SPEECH.test(type)) throw new HearthError('not_implemented', `Speech models (${type}) cannot be quantised.`);
  const towers = ['vision_config', 'audio_config'].filter((key) => isObject(config[key]));
  if (towers.length === 0) return;
  throw new HearthError(
    'unsupported_multimodal',
    `${type || 'This model'} has a ${towers.join(' and ')}, and quantising it was never verified. Verified types with pictures are ${VISION_TYPES.join(', ')}.`,
    { details: { model_type: type, verified: VISION_TYPES } },
  );
}
