import { join } from 'node:path';
import { makePrivateDirectory, writeFileAtomic } from '../../core/index.ts';
import { encodeFloats, type TensorSource, writeSafetensors } from '../safetensors/index.ts';
import { type AdapterModule, type LowRankAdapter, transpose } from './adapter-table.ts';
import { unsupported } from './one-scale.ts';
import { sortedJson } from './write-mlx.ts';

export interface WritePeftOptions {
  readonly baseModel?: string;
}

/** Writes the form of PEFT (docs/spec/formats.md §5.3). Throws `adapter_kind_unsupported` for expert layers and for DoRA on an embedding. */
export async function writePeftAdapter(directory: string, adapter: LowRankAdapter, options: WritePeftOptions = {}): Promise<void> {
  const modules = [...adapter.modules.values()];
  const [first] = modules;
  if (!first) throw unsupported('it changes no module');
  const alpha = (module: AdapterModule): number => module.scale * module.rank;
  const others = (of: (module: AdapterModule) => number): Record<string, number> =>
    Object.fromEntries(modules.filter((module) => of(module) !== of(first)).map((module) => [module.path, of(module)]));
  const config = {
    alpha_pattern: others(alpha),
    base_model_name_or_path: options.baseModel ?? adapter.baseModel,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha(first),
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: first.rank,
    rank_pattern: others((module) => module.rank),
    target_modules: modules.map((module) => module.path),
    task_type: 'CAUSAL_LM',
    use_dora: adapter.kind === 'dora',
    use_rslora: false,
  };
  const tensors = modules.flatMap(tensorsOf);
  await makePrivateDirectory(directory);
  await writeSafetensors(join(directory, 'adapter_model.safetensors'), tensors, { format: 'pt' });
  await writeFileAtomic(join(directory, 'adapter_config.json'), sortedJson(config), 0o644);
}

function tensorsOf({ path, kind, rank, inputs, outputs, a, b, m }: AdapterModule): TensorSource[] {
  if (kind === 'experts') throw unsupported(`${path} is an expert layer, which PEFT keeps as separate modules`);
  if (kind === 'embedding' && m !== null) throw unsupported(`${path}: DoRA of an embedding means another thing to PEFT`);
  const tensor = (leaf: string, shape: number[], values: Float32Array): TensorSource => ({
    name: `base_model.model.${path}.${leaf}`,
    dtype: 'F32',
    shape,
    data: encodeFloats('F32', values),
  });
  if (kind === 'embedding')
    return [tensor('lora_embedding_A', [rank, outputs], transpose(b, outputs, rank)), tensor('lora_embedding_B', [inputs, rank], transpose(a, rank, inputs))];
  const factors = [tensor('lora_A.weight', [rank, inputs], a), tensor('lora_B.weight', [outputs, rank], b)];
  return m === null ? factors : [...factors, tensor('lora_magnitude_vector', [outputs], m)];
}
