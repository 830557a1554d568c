import { basename, isAbsolute, join } from 'node:path';
import { makePrivateDirectory, writeFileAtomic } from '../../core/index.ts';
import { encodeFloats, type TensorSource, writeSafetensors } from '../safetensors/index.ts';
import { type AdapterModule, type LowRankAdapter, transpose } from './adapter-table.ts';
import { commonScale, unsupported, withScale } from './one-scale.ts';

export interface WriteMlxOptions {
  /** Name of the base. */
  readonly model?: string;
  /** The whole configuration of the training; its fields are kept beside those that the loader needs. */
  readonly training?: Readonly<Record<string, unknown>>;
  /** Written in the new form of mlx-vlm: paths under `language_model.`. */
  readonly vision?: boolean;
}

/**
 * Writes the form that mlx-lm loads (docs/spec/formats.md §5.1), or mlx-vlm: one rank and one scale, so that other scales go into B.
 * Throws `adapter_kind_unsupported` for modules of different rank.
 */
export async function writeMlxAdapter(directory: string, adapter: LowRankAdapter, options: WriteMlxOptions = {}): Promise<void> {
  const modules = [...adapter.modules.values()];
  const rank = modules[0]?.rank ?? 0;
  const other = modules.find((module) => module.rank !== rank);
  if (other) throw unsupported(`${modules[0]!.path} has rank ${rank} and ${other.path} has rank ${other.rank}, but mlx-lm knows one rank for all`);
  const scale = commonScale(adapter);
  const prefix = options.vision === true ? 'language_model.' : '';
  const tensors = modules.flatMap((module) => tensorsOf(withScale(module, scale), `${prefix}${module.path}`));
  const selection = adapter.selection ?? { numLayers: -1, keys: modules.map((module) => module.path) };
  const training = options.training ?? {};
  const parameters = training['lora_parameters'];
  const config = {
    ...training,
    ...((options.model ?? adapter.baseModel) ? { model: options.model ?? adapter.baseModel } : {}),
    fine_tune_type: adapter.kind,
    num_layers: selection.numLayers,
    lora_parameters: {
      dropout: 0,
      ...(typeof parameters === 'object' ? parameters : {}),
      rank,
      scale,
      // mlx-vlm takes keys as paths of the whole model only.
      ...(options.vision === true ? { keys: modules.map((module) => `${prefix}${module.path}`) } : selection.keys === null ? {} : { keys: selection.keys }),
    },
  };
  await makePrivateDirectory(directory);
  await writeSafetensors(join(directory, 'adapters.safetensors'), tensors);
  await writeFileAtomic(join(directory, 'adapter_config.json'), sortedJson(config), 0o644);
}

function tensorsOf(module: AdapterModule, path: string): TensorSource[] {
  const { kind, rank, inputs, outputs, experts, a, b, m } = module;
  const tensor = (leaf: string, shape: number[], values: Float32Array): TensorSource => ({
    name: `${path}.${leaf}`,
    dtype: 'F32',
    shape,
    data: encodeFloats('F32', values),
  });
  const factors =
    kind === 'experts'
      ? [tensor('lora_a', [experts, rank, inputs], a), tensor('lora_b', [experts, outputs, rank], b)]
      : kind === 'embedding'
        ? [tensor('lora_a', [outputs, rank], b), tensor('lora_b', [rank, inputs], a)]
        : [tensor('lora_a', [inputs, rank], transpose(a, rank, inputs)), tensor('lora_b', [rank, outputs], transpose(b, outputs, rank))];
  return m === null ? factors : [...factors, tensor('m', [outputs], m)];
}

/** JSON with sorted keys and an indent of 4; absolute paths, which tell of one machine only, keep their last part. */
export function sortedJson(value: unknown): string {
  const tidy = (part: unknown): unknown => {
    if (typeof part === 'string') return isAbsolute(part) ? basename(part) : part;
    if (Array.isArray(part)) return part.map(tidy);
    if (typeof part !== 'object' || part === null) return part;
    return Object.fromEntries(
      Object.entries(part)
        .toSorted(([x], [y]) => (x < y ? -1 : 1))
        .map(([key, entry]) => [key, tidy(entry)]),
    );
  };
  return `${JSON.stringify(tidy(value), null, 4)}\n`;
}
